import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** Calls back at each request, so that what is quiet while nothing happens looks at once. Probes do not count. */
    onRequestArrives (wake: () => void): void
  }
}

/** Tells the parts that are quiet while nothing happens of each request. */
async function activity (app: FastifyInstance): Promise<void> {
  const wakes: Array<() => void> = []
  app.decorate('onRequestArrives', (wake: () => void) => { wakes.push(wake) })
  app.addHook('onRequest', (request, _reply, done) => {
    if (!request.is404 && !request.routeOptions.config.quiet) for (const wake of wakes) wake()
    done()
  })
}

export default fp(activity, { name: 'activity' })
