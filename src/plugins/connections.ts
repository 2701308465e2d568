import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** How long a connection may be without a request once the service ends. */
const IDLE_MS = 500
/** How long a request may hold up the end: readers have had their goodbyes, and what waits for the database its error. */
const CUT_MS = 5_000

/**
 * What would hold up the end of the service is cut. Browsers and proxies open connections in advance; one on which
 * nothing was asked yet counts as busy to Node.js, for as long as a request's headers may take, one whose answer came late
 * is kept for the next request, and a body may take minutes.
 */
async function connections (app: FastifyInstance): Promise<void> {
  const { server } = app
  const unused = new Set<Socket>()
  const timers: NodeJS.Timeout[] = []
  server.on('connection', socket => {
    unused.add(socket)
    socket.on('close', forget)
  })
  server.on('request', ({ socket }) => use(socket))
  server.on('upgrade', ({ socket }) => use(socket as Socket))

  app.addHook('preClose', async () => {
    timers.push(setInterval(closeIdle, IDLE_MS).unref())
    timers.push(setTimeout(() => server.closeAllConnections(), CUT_MS).unref())
  })
  app.addHook('onClose', async () => timers.forEach(clearTimeout))

  /** Nothing of this is left with a connection that lasts. */
  function use (socket: Socket): void {
    if (unused.delete(socket)) socket.off('close', forget)
  }

  function forget (this: Socket): void {
    unused.delete(this)
  }

  function closeIdle (): void {
    for (const socket of unused) socket.destroy()
    server.closeIdleConnections()
  }
}

export default fp(connections, { name: 'connections' })
