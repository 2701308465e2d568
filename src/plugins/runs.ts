import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Chats } from '../chats/chats.js'
import { pollDatabase } from '../database/poll-database.js'
import { eraseOldRuns } from '../executor/run/retention.js'
import { Runs } from '../executor/run/runs.js'

declare module 'fastify' {
  interface FastifyInstance {
    runs: Runs
    chats: Chats
  }
}

/** How often old runs are looked for. */
const ERASE_MS = 60 * 60_000

/** Runs as callers have them, and the chats that they are in. What was said in them is erased after RUN_RETENTION_DAYS. */
async function registerRuns (app: FastifyInstance): Promise<void> {
  const { database, executor, queue, events, config, log, isDraining } = app
  const runs = new Runs({
    database,
    executor,
    queue,
    events,
    models: [config.model, ...config.fallbackModels],
    isDraining,
    hasPython: () => app.python.isAvailable()
  })
  app.decorate('runs', runs)
  app.decorate('chats', new Chats({ database, runs, isDraining, log }))
  app.shutdown.on('retention', pollDatabase(database, log, ERASE_MS, () => eraseOldRuns(database, config.runRetentionDays, isDraining)))
}

export default fp(registerRuns, { name: 'runs', dependencies: ['database', 'events', 'executor', 'queue', 'python', 'shutdown'] })
