import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import { errors, ServiceError } from '#shared/errors.ts'
import type { Run } from '#shared/schemas.ts'
import { Gateway } from '../executor/gateway/gateway.js'
import { Executor } from '../executor/run/executor.js'
import type { RunStore } from '../executor/run/run-store.js'

declare module 'fastify' {
  interface FastifyInstance {
    gateway: Gateway
    executor: Executor
    /** Whether the service is about to end, so that no new run begins. */
    isDraining (): boolean
    /** Lets the runs under way end, for DRAIN_SECONDS at the most; called before `close`. */
    drain (): Promise<void>
  }
}

const FIRST_PAUSE = 100
const MAX_PAUSE = 5_000
/** While a run is on, a function that is not there is one that PostgREST has lost sight of. */
const PASSING = new Set(['database_unavailable', 'database_not_migrated'])
/** How long a write that is under way may hold up the end. */
const RELEASE_MS = 1_500

async function executor (app: FastifyInstance): Promise<void> {
  const { config } = app
  const closing = new AbortController()
  // As many runs as may be wait for the database at a time, and each listens.
  setMaxListeners(0, closing.signal)
  const gateway = new Gateway({ ...await findGateway(app), model: config.model, modelIsChosen: config.modelIsChosen, flushMs: config.streamFlushMs })
  const executor = new Executor({
    gateway,
    python: app.python,
    events: app.events,
    store: createStore(app, closing.signal),
    log: app.log as Logger,
    openToolbox: app.openToolbox,
    defaultModel: config.model,
    fallbackModels: config.fallbackModels
  })
  let draining = false

  app.decorate('gateway', gateway)
  app.decorate('executor', executor)
  app.decorate('isDraining', () => draining)
  app.decorate('drain', async () => {
    draining = true
    await app.queue.stop()
    await executor.drain(config.drainSeconds * 1000)
  })

  app.addHook('preClose', async () => {
    draining = true
    // From here on no write is repeated: what the database does not take now, the next process does again.
    closing.abort(errors.shuttingDown())
    await executor.release(RELEASE_MS)
  })
  app.addHook('onClose', () => gateway.close())
}

/** The configured gateway, or the demo model, which is reached like any other. */
async function findGateway (app: FastifyInstance): Promise<{ url: string, key?: string }> {
  const { gateway } = app.config
  if (gateway.kind === 'remote') return gateway
  const { startDemoModel } = await import('../demo/demo-model.js')
  const demo = await startDemoModel()
  app.addHook('onClose', () => demo.close())
  app.log.info('no AI gateway is configured: the built-in demo model answers')
  return demo
}

function createStore ({ database, config }: FastifyInstance, closing: AbortSignal): RunStore {
  return {
    async start (runId, attempt) {
      await persist(() => database.call('start_run', { p_run_id: runId, p_attempt: attempt }), closing)
    },
    async record (runId, attempt, { number, summary, record, credits, emitted: told }) {
      const { isEnough } = await persist(() => database.call<{ isEnough: boolean }>('record_step', {
        p_run_id: runId,
        p_attempt: attempt,
        p_number: number,
        p_step: { ...summary, startedAt: summary.startedAt.toISOString() },
        p_record: record,
        p_credits: credits,
        p_told: told
      }), closing)
      return isEnough
    },
    finish: (runId, attempt, result) => persist(() => database.call<Run>('finish_run', {
      p_run_id: runId,
      p_attempt: attempt,
      p_status: result.status,
      p_response: result.response,
      p_finish_reason: result.finishReason,
      p_usage: result.usage,
      p_credits: result.credits,
      p_model: result.model,
      p_error: result.error,
      p_trace: result.trace,
      p_keep_messages: config.keepMessages
    }), closing)
  }
}

/** Writes through a time without database: both calls may be repeated, and the run's end is not told before it is written. */
async function persist<T> (write: () => Promise<T>, closing: AbortSignal): Promise<T> {
  for (let pause = FIRST_PAUSE; ; pause = Math.min(MAX_PAUSE, pause * 2)) {
    try {
      return await write()
    } catch (error) {
      const isPassing = error instanceof ServiceError && PASSING.has(error.code)
      if (closing.aborted || !isPassing) throw error
    }
    await delay(pause, undefined, { signal: closing }).catch(() => {})
  }
}

export default fp(executor, { name: 'executor', dependencies: ['database', 'events', 'python', 'tools'] })
