import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Chats } from '../chats/chats.js'
import { Runs } from '../executor/run/runs.js'

declare module 'fastify' {
  interface FastifyInstance {
    runs: Runs
    chats: Chats
  }
}

async function registerRuns (app: FastifyInstance): Promise<void> {
  const { database, executor, queue, events, config } = app
  const runs = new Runs({
    database,
    executor,
    queue,
    events,
    models: [config.model, ...config.fallbackModels],
    isDraining: app.isDraining,
    hasPython: () => app.python.isAvailable()
  })
  app.decorate('runs', runs)
  app.decorate('chats', new Chats({ database, runs, isDraining: app.isDraining, log: app.log }))
}

export default fp(registerRuns, { name: 'runs', dependencies: ['database', 'events', 'executor', 'queue', 'python', 'shutdown'] })
