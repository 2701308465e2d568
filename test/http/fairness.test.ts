import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { signAccessToken } from '../../src/auth/access-token.js'
import { say, startGateway } from '../support/doubles/gateway.js'
import { createPostgres, DEMO_AGENT, DEMO_USER, findPostgres, JWT_SECRET, OTHER_USER } from '../support/helper.js'
import { launch } from '../support/process.js'
import { openRaw } from '../support/raw-http.js'

/** What others may feel at the most, in milliseconds; a machine that is busy with other tests is forgiven some of it. */
const PATIENCE = 4_000
const EVERY_MS = 100

t.test('what one caller sends does not take the service from others', async t => {
  if (!await findPostgres(t)) return
  const url = await startProcess(t)
  const token = await signAccessToken(JWT_SECRET, DEMO_USER)

  /** Attacks while another user runs agents, and while somebody looks at the health of the service. */
  async function attackDuring (t: Test, attack: () => Promise<void>): Promise<void> {
    const others = await startOthers(url)
    await delay(3 * EVERY_MS)
    await attack()
    await delay(5 * EVERY_MS)
    const { latest, lost, runs } = await others.stop()
    t.same(lost, [], 'nothing of others is lost or refused')
    t.ok(runs > 0, 'others ran agents meanwhile')
    t.ok(latest < PATIENCE, `nobody waited longer than ${latest} ms`)
  }

  t.test('bad frames on a WebSocket before any token', async t => {
    const frames = Buffer.concat(Array.from({ length: 60_000 }, () => maskedFrame('{"a":')))
    await attackDuring(t, async () => {
      for (let i = 0; i < 10; i++) {
        const socket = await openSocket(t, url, '')
        const closed = closeOf(socket)
        socket.write(frames)
        await closed
      }
    })
  })

  t.test('bad frames on a WebSocket after it', async t => {
    const frames = Buffer.concat(Array.from({ length: 60_000 }, () => maskedFrame('{"a":')))
    await attackDuring(t, async () => {
      const socket = await openSocket(t, url, `?token=${token}`)
      const closed = closeOf(socket)
      socket.write(frames)
      await closed
    })
  })

  t.test('bodies and messages of millions of values', async t => {
    const body = Buffer.from(`{"x":[${'[],'.repeat(3_300_000)}0]}`)
    const post = (headers: Record<string, string>) => fetch(`${url}/api/agent/execute`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body })
      .then(async response => { await response.arrayBuffer(); return response.status }, () => 0)
    await attackDuring(t, async () => {
      const statuses = await Promise.all([{}, ...Array.from({ length: 6 }, () => ({ authorization: `Bearer ${token}` }))].map(headers => post(headers as Record<string, string>)))
      t.ok(statuses.every(status => [0, 400, 401, 429, 503].includes(status)), statuses.join())
    })
  })

  t.test('frames that never end, before a token', async t => {
    const part = Buffer.alloc(1024 * 1024)
    await attackDuring(t, async () => {
      for (let i = 0; i < 32; i++) {
        const socket = await openSocket(t, url, '')
        const closed = closeOf(socket)
        socket.write(Buffer.concat([frameHead(9_000_000), part]))
        await closed
      }
    })
  })
})

/** The service as a process of its own, with default limits. Returns its address. */
async function startProcess (t: Test): Promise<string> {
  const gateway = await startGateway(t)
  gateway.reply = say('Hello')
  const child = launch(t, 'server.js', [], {
    HOST: '127.0.0.1', PORT: '0', SUPABASE_DB_URL: await createPostgres(t), SUPABASE_JWT_SECRET: JWT_SECRET, AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'key', DRAIN_SECONDS: '0'
  })
  let printed = ''
  for await (const piece of child.stdout!) {
    printed += piece
    const url = /listening at (http:\S+?)"/.exec(printed)?.[1]
    if (!url) continue
    child.stdout!.resume()
    return url.replace('localhost', '127.0.0.1')
  }
  throw new Error(`the service did not start: ${printed}`)
}

/** Looks at /health every 100 ms, and runs agents as another user, one after the other. */
async function startOthers (url: string) {
  const leave = new AbortController()
  const lost: string[] = []
  let latest = 0
  let runs = 0
  const authorization = `Bearer ${await signAccessToken(JWT_SECRET, OTHER_USER)}`
  const take = async (path: string, init?: RequestInit): Promise<boolean> => {
    const before = performance.now()
    const response = await fetch(url + path, { ...init, signal: AbortSignal.timeout(30_000) }).catch((error: Error) => error)
    if (response instanceof Error) lost.push(response.message)
    else await response.text()
    latest = Math.max(latest, Math.round(performance.now() - before))
    // Another user has few credits.
    const isServed = !(response instanceof Error) && (response.ok || response.status === 402)
    if (!isServed && !(response instanceof Error)) lost.push(`${path} ${response.status}`)
    return isServed
  }
  const looks = (async () => {
    while (!leave.signal.aborted) {
      await take('/health')
      await delay(EVERY_MS)
    }
  })()
  const body = JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false })
  const executes = (async () => {
    while (!leave.signal.aborted) {
      if (await take('/api/agent/execute', { method: 'POST', headers: { 'content-type': 'application/json', authorization }, body })) runs++
      await delay(EVERY_MS)
    }
  })()
  return {
    async stop () {
      leave.abort()
      await Promise.all([looks, executes])
      return { latest, lost, runs }
    }
  }
}

/** A WebSocket as bytes, so that a hostile client costs this process little. */
async function openSocket (t: Test, url: string, query: string) {
  const socket = await openRaw(t, url)
  socket.write(`GET /ws${query} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
  const [head] = await once(socket, 'data')
  t.match(String(head), /^HTTP\/1.1 101 /)
  socket.resume()
  return socket
}

/** Resolves when the server has ended a connection, by whatever means. */
function closeOf (socket: Socket): Promise<void> {
  return new Promise(resolve => { socket.once('close', () => resolve()) })
}

/** A text frame of a client, with a mask of zeros. */
function maskedFrame (text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)])
}

/** The head of a text frame with a length in 64 bits. */
function frameHead (length: number): Buffer {
  const head = Buffer.alloc(14)
  head[0] = 0x81
  head[1] = 0x80 | 127
  head.writeBigUInt64BE(BigInt(length), 2)
  return head
}
