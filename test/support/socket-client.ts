import { once } from 'node:events'
import type { Test } from 'tap'
import { type ClientOptions, WebSocket } from 'ws'
import { signAccessToken } from '../../src/auth/access-token.js'
import { follow } from '../../src/executor/events/follow.js'
import type { Session } from '../../src/http/websocket/protocol.js'
import { DEMO_AGENT, DEMO_USER, JWT_SECRET, type Service } from './helper.js'
import { holdToContract } from './server-messages.js'

export interface SocketClient {
  ws: WebSocket
  /** All that the server has said, in order. */
  messages: any[]
  closed: Promise<{ code: number, reason: string }>
  /** Objects as JSON; text and bytes as they are. */
  send (message: object | string | Buffer): void
  /** The next message with these fields that was not taken before; throws where the connection ends without it. */
  next (type: string, fields?: Record<string, unknown>): Promise<any>
  /** A ping and its pong: what was sent before has been handled, and the connection stands. */
  roundTrip (): Promise<any>
}

export interface ConnectOptions extends ClientOptions {
  /** For the URL. */
  token?: string
  protocols?: string[]
  /** The events that the client knows, for the URL; by default all. */
  events?: string
}

/** Opens `/ws`, and leaves it at the end of the test. */
export async function connect (t: Test, service: Service, { token, protocols = [], events = '*', ...options }: ConnectOptions = {}): Promise<SocketClient> {
  const query = new URLSearchParams({ events, ...(token === undefined ? {} : { token }) })
  const url = `${service.url.replace('http', 'ws')}/ws?${query}`
  const ws = new WebSocket(url, protocols, options)
  t.teardown(() => ws.terminate())
  const client = listen(ws)
  await once(ws, 'open')
  // A connection that breaks is told by how it closed.
  ws.on('error', () => {})
  return client
}

function listen (ws: WebSocket): SocketClient {
  const messages: any[] = []
  const untaken: any[] = []
  let wake = () => {}
  let end: { code: number, reason: string } | undefined
  ws.on('message', data => {
    const message = JSON.parse(String(data))
    holdToContract(message)
    messages.push(message)
    untaken.push(message)
    wake()
  })
  const closed = new Promise<{ code: number, reason: string }>(resolve => {
    ws.on('close', (code, reason) => {
      end = { code, reason: String(reason) }
      resolve(end)
      wake()
    })
  })

  async function next (type: string, fields: Record<string, unknown> = {}): Promise<any> {
    const wanted = Object.entries({ type, ...fields })
    for (;;) {
      const index = untaken.findIndex(message => wanted.every(([name, value]) => message[name] === value))
      if (index >= 0) return untaken.splice(index, 1)[0]
      if (end) throw new Error(`closed with ${end.code} "${end.reason}" before ${type}; said: ${JSON.stringify(untaken).slice(0, 500)}`)
      await new Promise<void>(resolve => {
        const earlier = wake
        wake = () => {
          earlier()
          resolve()
        }
      })
    }
  }

  return {
    ws,
    messages,
    closed,
    next,
    send (message) { ws.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message)) },
    async roundTrip () {
      ws.send('{"type":"ping"}')
      return next('pong')
    }
  }
}

/** A connection on which a user is known. */
export async function login (t: Test, service: Service, userId = DEMO_USER, options: ConnectOptions = {}): Promise<SocketClient> {
  const client = await connect(t, service, { token: await signAccessToken(JWT_SECRET, userId), ...options })
  await client.next('connected')
  return client
}

/** The message that asks for a run of the demo agent, unless the fields say otherwise. */
export function execution (fields: Record<string, unknown> = {}): Record<string, unknown> {
  return { type: 'agent_execute', agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], ...fields }
}

/** The text that a client has of a run, which appends chunks. */
export function textOfRun ({ messages }: SocketClient, runId: string): string {
  return messages.filter(message => message.type === 'agent_chunk' && message.runId === runId).map(({ content }) => content).join('')
}

/** Lets the server's clock say so for all connections. */
export function tickAll ({ app }: Service, now: number): void {
  for (const session of app.sessions) session.tick(now)
}

/** The server's side of the connection that came last. */
export function lastPeer ({ app }: Service): { session: Session, peer: WebSocket } {
  return { session: [...app.sessions].at(-1)!, peer: [...app.websocketServer.clients].at(-1)! as unknown as WebSocket }
}

/** Resolves when the server has told the end of a run, whoever listens. */
export function ended ({ app }: Service, runId: string): Promise<void> {
  return new Promise(resolve => { follow(app.events, runId, 0, { write: () => true, end: resolve, moved: () => {} }) })
}
