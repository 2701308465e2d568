import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** How long a connection may be without a request once the service ends. */
const UNUSED_MS = 500

/**
 * Browsers and proxies open connections in advance. One on which nothing was asked yet counts as busy to Node.js, and
 * would hold up the end for as long as a request's headers may take.
 */
async function connections (app: FastifyInstance): Promise<void> {
  const { server } = app
  const unused = new Set<Socket>()
  let closing: NodeJS.Timeout | undefined
  server.on('connection', socket => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  server.on('request', ({ socket }) => { unused.delete(socket) })
  server.on('upgrade', ({ socket }) => { unused.delete(socket) })

  app.addHook('preClose', async () => {
    closing = setInterval(() => { for (const socket of unused) socket.destroy() }, UNUSED_MS).unref()
  })
  app.addHook('onClose', async () => clearInterval(closing))
}

export default fp(connections, { name: 'connections' })
