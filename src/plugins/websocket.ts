import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '../errors.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Sessions that want to know how time passes, from their beginning to their socket's close. */
    sessions: Set<Session>
  }
}

export interface Session {
  /** Once a second. */
  tick (now: number): void
  /** Every 30 s: the peer that has missed two is gone. */
  ping (): void
  /** Says goodbye, with a WebSocket close code. */
  close (code: number, reason: string): void
}

export const SOCKET_PATH = '/ws'
const SUBPROTOCOL = 'jeesi'

const TICK = 1_000
const PING = 30_000
/** WebSocket close codes (RFC 6455 7.4.1 and IANA's registry). */
export const CLOSE = { policy: 1008, restart: 1012 }
const GOODBYE_MS = 1_000

async function websocket (app: FastifyInstance): Promise<void> {
  const sessions = new Set<Session>()
  app.decorate('sessions', sessions)

  await app.register(fastifyWebsocket, {
    options: {
      maxPayload: app.config.bodyLimit,
      perMessageDeflate: false,
      // Only the protocol's name is answered; the other one the client offers is its token.
      handleProtocols: protocols => protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false
    },
    errorHandler (error, socket, request) {
      request.log.info({ err: error }, 'a WebSocket broke')
      socket.terminate()
    },
    preClose (done) {
      for (const session of sessions) session.close(CLOSE.restart, 'the server restarts')
      setTimeout(() => { for (const client of app.websocketServer.clients) client.terminate() }, GOODBYE_MS).unref()
      app.websocketServer.close()
      done()
    }
  })

  // An upgrade where no socket is would else be accepted, and its URL logged, in which a token may stand.
  app.addHook('onRequest', async request => {
    if (request.ws && request.routeOptions.url !== SOCKET_PATH) throw errors.notFound()
  })

  // One clock for all sockets, not a timer each.
  const ticking = setInterval(() => {
    const now = Date.now()
    for (const session of sessions) session.tick(now)
  }, TICK).unref()
  const pinging = setInterval(() => {
    for (const session of sessions) session.ping()
  }, PING).unref()
  app.addHook('preClose', async () => {
    clearInterval(ticking)
    clearInterval(pinging)
  })
}

export default fp(websocket, { name: 'websocket' })
