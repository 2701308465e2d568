import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { errors } from '#shared/errors.ts'
import { readKnownEvents } from '#shared/reader/known-events.ts'
import { errorAnswers, KnownEventsText } from '#shared/schemas.ts'
import { addressKey } from '../http/client-address.js'
import { SOCKET_PATH } from '../http/websocket/protocol.js'
import { SocketSession } from '../http/websocket/session.js'

const SocketQuery = Type.Object({ token: Type.Optional(Type.String()), ticket: Type.Optional(Type.String()), events: KnownEventsText })

/** Seconds after which an address with too many unknown WebSockets tries again: the oldest of them are closed by then. */
const RETRY_SECONDS = 10

const socket: FastifyPluginAsyncTypebox = async app => {
  app.route({
    method: 'GET',
    url: SOCKET_PATH,
    schema: { querystring: SocketQuery, response: { 101: Type.Null(), ...errorAnswers } },
    // Before the upgrade, so that a refusal is an answer of HTTP.
    preHandler: async request => {
      readKnownEvents(request.query.events)
      const isFull = request.ws && app.unknownSockets.isFull(addressKey(request))
      if (isFull) throw errors.tooManyConnections().with({ retryAfter: RETRY_SECONDS })
    },
    handler: () => { throw errors.notFound() },
    wsHandler (socket, request) {
      const leaveUnknown = app.unknownSockets.take(addressKey(request))
      // Others have come in since the upgrade began.
      if (!leaveUnknown) return socket.terminate()
      const session = new SocketSession(app, socket, request, readKnownEvents(request.query.events), leaveUnknown)
      app.sessions.add(session)
      socket.on('close', () => app.sessions.delete(session))
      const { ticket, token: given } = request.query
      // An empty one beside another is none.
      const token = given || (tokenOfProtocols(request) ?? given)
      if (ticket !== undefined) session.begin(() => app.useTicket(ticket, {}, request))
      else session.begin(token === undefined ? undefined : () => app.authenticate(token, request))
    }
  })
}

/** `Sec-WebSocket-Protocol: jeesi, bearer.<token>`, since browsers can set no other header. */
function tokenOfProtocols ({ headers }: FastifyRequest): string | undefined {
  const protocols = String(headers['sec-websocket-protocol'] ?? '').split(',').map(protocol => protocol.trim())
  return protocols.find(protocol => protocol.startsWith('bearer.'))?.slice('bearer.'.length)
}

export default socket
