import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** How long a connection may be without a request once the service ends. */
const UNUSED_MS = 500
/** How long a request may hold up the end: readers have had their goodbyes, and what waits for the database its error. */
const CUT_MS = 5_500

/**
 * What would hold up the end of the service is cut. Browsers and proxies open connections in advance; one on which
 * nothing was asked yet counts as busy to Node.js, for as long as a request's headers may take, and a body may take minutes.
 */
async function connections (app: FastifyInstance): Promise<void> {
  const { server } = app
  const unused = new Set<Socket>()
  let closing: NodeJS.Timeout | undefined
  server.on('connection', socket => {
    unused.add(socket)
    socket.on('close', forget)
  })
  server.on('request', ({ socket }) => use(socket))
  server.on('upgrade', ({ socket }) => use(socket as Socket))

  app.addHook('preClose', async () => {
    const cutAt = Date.now() + CUT_MS
    closing = setInterval(() => cut(Date.now() >= cutAt), UNUSED_MS).unref()
  })
  // A connection would be kept for the next request; it ends once the answer is through.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (closing) reply.header('connection', 'close')
    done()
  })
  app.addHook('onClose', async () => clearInterval(closing))

  /** Nothing of this is left with a connection that lasts. */
  function use (socket: Socket): void {
    if (unused.delete(socket)) socket.off('close', forget)
  }

  function forget (this: Socket): void {
    unused.delete(this)
  }

  function cut (all: boolean): void {
    for (const socket of unused) socket.destroy()
    // Again and again: until the other parts have said their goodbyes connections are still taken.
    if (all) server.closeAllConnections()
  }
}

export default fp(connections, { name: 'connections' })
