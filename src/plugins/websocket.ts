import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '#shared/errors.ts'
import { SOCKET_PATH, SUBPROTOCOL } from '../http/websocket/protocol.js'
import { Sessions } from '../http/websocket/sessions.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The open WebSocket sessions. */
    sessions: Sessions
  }
}

async function websocket (app: FastifyInstance): Promise<void> {
  const sessions = new Sessions()
  app.decorate('sessions', sessions)

  await app.register(fastifyWebsocket, {
    options: {
      maxPayload: app.config.bodyLimit,
      perMessageDeflate: false,
      // Only the protocol's name is answered; the other one that a client offers is its token.
      handleProtocols: protocols => protocols.has(SUBPROTOCOL) ? SUBPROTOCOL : false
    },
    errorHandler (error, socket, request) {
      request.log.info({ err: error }, 'a WebSocket broke')
      socket.terminate()
    },
    // The sockets end in their turn, see SHUTDOWN.
    preClose: done => done()
  })
  app.shutdown.on('webSockets', () => {
    sessions.close(() => { for (const client of app.websocketServer.clients) client.terminate() })
    app.websocketServer.close()
  })

  // An upgrade at another path would be accepted, and its URL logged, which may hold a token.
  app.addHook('onRequest', async request => {
    if (request.ws && request.routeOptions.url !== SOCKET_PATH) throw errors.notFound()
  })
}

export default fp(websocket, { name: 'websocket', dependencies: ['shutdown'] })
