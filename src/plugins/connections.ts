import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { ConnectionCutter } from '../http/connections.js'

/** Keeps idle and slow connections from holding up the end of the service. */
async function connections (app: FastifyInstance): Promise<void> {
  const cutter = new ConnectionCutter(app.server)
  app.shutdown.on('connections', () => cutter.close())
  // The connection ends once the answer is through, and is not kept for the next request.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (cutter.isClosing) reply.header('connection', 'close')
    done()
  })
}

export default fp(connections, { name: 'connections', dependencies: ['shutdown'] })
