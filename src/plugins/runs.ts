import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Runs } from '../executor/run/runs.js'

declare module 'fastify' {
  interface FastifyInstance {
    runs: Runs
  }
}

async function runs (app: FastifyInstance): Promise<void> {
  const { database, executor, queue, events, config } = app
  app.decorate('runs', new Runs({
    database,
    executor,
    queue,
    events,
    models: [config.model, ...config.fallbackModels],
    isDraining: app.isDraining,
    hasPython: () => app.python.isAvailable()
  }))
}

export default fp(runs, { name: 'runs', dependencies: ['database', 'events', 'executor', 'queue', 'python', 'shutdown'] })
