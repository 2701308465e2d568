import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Shutdown } from '../shutdown.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** How the process ends; plugins register their parts. */
    shutdown: Shutdown
    /** Whether the service is about to end, so that no run begins any more. */
    isDraining (): boolean
    /** Lets the runs under way end, for DRAIN_SECONDS at most; called before `close`. */
    drain (): Promise<void>
  }
}

/** Registered first: its hook before the close is the first, and its hook after it runs last. */
async function shutdownPlugin (app: FastifyInstance): Promise<void> {
  const shutdown = new Shutdown(app.config.drainSeconds * 1000, (fields, message) => app.log.warn(fields, message))
  app.decorate('shutdown', shutdown)
  app.decorate('isDraining', () => shutdown.isDraining)
  app.decorate('drain', () => shutdown.drain())
  app.addHook('preClose', () => shutdown.beforeServer())
  app.addHook('onClose', () => shutdown.afterServer())
}

export default fp(shutdownPlugin, { name: 'shutdown' })
