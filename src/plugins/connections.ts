import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '#shared/errors.ts'
import { callerKey, userKey } from '../http/client-address.js'
import { ConnectionCutter } from '../http/connections.js'
import { OpenConnections } from '../http/open-connections.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The streams, waiting executions and WebSockets that are open, by caller. */
    openConnections: OpenConnections
    /** Hook: the request counts as an open connection of its caller until its answer has ended. Throws `too_many_connections`. */
    countConnection (request: FastifyRequest, reply: FastifyReply): Promise<void>
    /** The same for a user in whose name another caller asks. */
    countConnectionOf (userId: string, reply: FastifyReply): void
  }
}

/** Seconds after which a caller who has too many connections tries again. */
const RETRY_SECONDS = 10

/** Bounds the connections of a caller, and keeps idle and slow ones from holding up the end of the service. */
async function connections (app: FastifyInstance): Promise<void> {
  const cutter = new ConnectionCutter(app.server)
  app.shutdown.on('connections', () => cutter.close())
  // The connection ends once the answer is through, and is not kept for the next request.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (cutter.isClosing) reply.header('connection', 'close')
    done()
  })
  // Node has given the connection of an upgrade away, and ends none that is refused.
  app.addHook('onResponse', ({ raw }, _reply, done) => {
    if ((raw as { upgrade?: boolean }).upgrade) raw.socket.destroySoon()
    done()
  })
  // An expectation that nobody knows is ignored: Node's own answer would lack the headers of all others.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))

  const open = new OpenConnections(app.config.maxConnectionsPerUser)
  app.decorate('openConnections', open)
  app.decorate('countConnection', async (request, reply) => count(callerKey(request), reply))
  app.decorate('countConnectionOf', (userId, reply) => count(userKey(userId), reply))

  function count (caller: string, { raw }: FastifyReply): void {
    const leave = open.take(caller)
    if (!leave) throw errors.tooManyConnections().with({ retryAfter: RETRY_SECONDS })
    if (raw.destroyed) leave()
    else raw.once('close', leave)
  }
}

export default fp(connections, { name: 'connections', dependencies: ['shutdown'] })
