import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors, reasonOf, toServiceError } from '#shared/errors.ts'
import { findEndedCallers } from '../auth/ended-callers.js'
import { answerConnection } from '../http/errors.js'
import { OpenConnections } from '../http/open-connections.js'
import { declineUpgrade, isWebSocket } from '../http/upgrades.js'
import { endSoon, SOCKET_PATH, SUBPROTOCOL } from '../http/websocket/protocol.js'
import { Sessions } from '../http/websocket/sessions.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The open WebSocket sessions. */
    sessions: Sessions
    /** The WebSockets whose caller is not known yet, by address. */
    unknownSockets: OpenConnections
  }
}

/** How many WebSockets of one address may wait to be authenticated. */
const MAX_UNKNOWN = 32

async function websocket (app: FastifyInstance): Promise<void> {
  const sessions = new Sessions({
    findEnded: callers => findEndedCallers(app.database, callers),
    failed: error => app.log.warn({ reason: reasonOf(toServiceError(error)) }, 'the callers of WebSockets could not be looked up')
  })
  app.decorate('sessions', sessions)
  app.decorate('unknownSockets', new OpenConnections(MAX_UNKNOWN))

  // The server's own offers of an upgrade, of which only those of WebSockets are passed on.
  const handshakes = new EventEmitter()
  app.server.on('upgrade', (request: IncomingMessage, socket: Socket, rest: Buffer) => {
    if (isWebSocket(request)) handshakes.emit('upgrade', request, socket, rest)
    else declineUpgrade(app.server, request, socket, rest)
  })
  await app.register(fastifyWebsocket, {
    options: {
      server: handshakes as Server,
      maxPayload: app.config.bodyLimit,
      perMessageDeflate: false,
      // Between two messages the event loop turns.
      allowSynchronousEvents: false,
      // Only the protocol's name is answered; the other one that a client offers is its token.
      handleProtocols: protocols => protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false
    },
    errorHandler (error, socket, request) {
      request.log.info({ err: error }, 'a WebSocket broke')
      // The client is to read why: a connection that is cut with unread bytes in it loses what was said last.
      endSoon(socket)
    },
    // The sockets end in their turn, see SHUTDOWN.
    preClose: done => done()
  })
  app.websocketServer.on('wsClientError', ({ message }, connection) =>
    answerConnection(connection, errors.badRequest(`This is no handshake of a WebSocket: ${message}.`), app.hardening))
  app.shutdown.on('webSockets', () => {
    sessions.close(() => { for (const client of app.websocketServer.clients) client.terminate() })
    app.websocketServer.close()
  })

  // An upgrade at another path would be accepted, and its URL logged, which may hold a token.
  app.addHook('onRequest', async request => {
    if (request.ws && request.routeOptions.url !== SOCKET_PATH) throw errors.notFound()
  })
}

export default fp(websocket, { name: 'websocket', dependencies: ['shutdown', 'database'] })
