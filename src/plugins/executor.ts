import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import { errors } from '#shared/errors.ts'
import { createDatabaseRunStore } from '../executor/run/database-run-store.js'
import { Executor } from '../executor/run/executor.js'
import { createAbortController } from '../lib/cancellation.js'

declare module 'fastify' {
  interface FastifyInstance {
    executor: Executor
  }
}

async function executorPlugin (app: FastifyInstance): Promise<void> {
  const { config, database, memory, events, gateway, python, openToolbox, tracer } = app
  const closing = createAbortController()
  const executor = new Executor({
    gateway,
    python,
    events,
    store: createDatabaseRunStore({ database, keepMessages: config.keepMessages, closing: closing.signal }),
    memory: memory.runs,
    log: app.log as Logger,
    openToolbox,
    tracer,
    defaultModel: config.model,
    fallbackModels: config.fallbackModels,
    maxRunSeconds: config.maxRunSeconds
  })
  app.decorate('executor', executor)
  app.shutdown.on('runs', drainMs => executor.drain(drainMs))
  app.shutdown.on('attempts', budgetMs => {
    // What the database does not take now, the next process does again.
    closing.abort(errors.shuttingDown())
    return executor.releaseAll(budgetMs)
  })
}

export default fp(executorPlugin, { name: 'executor', dependencies: ['database', 'memory', 'events', 'gateway', 'python', 'tools', 'traces', 'shutdown'] })
