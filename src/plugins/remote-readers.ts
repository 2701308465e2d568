import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Run, RunEvent } from '#shared/schemas.ts'
import type { Trace } from '#shared/trace.ts'
import { restore } from '../executor/events/restore.js'
import { poll } from '../lib/poll.js'

const LOOK_MS = 1_000
/** Where Redis streams them, for those whose stream it has lost. */
const STREAMED_LOOK_MS = 5_000

interface Ended { run: Run, trace: Trace | null }
interface Told { runId: string, told: Array<{ first: number, events: RunEvent[] }> }

/** Readers here of runs in other processes: what the database knows of these is told, finished steps and the end. */
async function remoteReaders (app: FastifyInstance): Promise<void> {
  const { database, events, executor, redis } = app
  let nextLook = 0
  let hasAdvised = false
  const stop = poll(app, LOOK_MS, tell)
  app.addHook('preClose', async () => { stop() })

  async function tell (): Promise<void> {
    const awaited = events.remoteRuns().filter(runId => !executor.progressOf(runId))
    const isStreamed = redis?.link.isUp === true
    if (awaited.length === 0 || (isStreamed && Date.now() < nextLook)) return
    nextLook = Date.now() + STREAMED_LOOK_MS
    if (!isStreamed) await tellSteps(awaited)
    await tellEnds(awaited)
  }

  async function tellSteps (runIds: string[]): Promise<void> {
    if (!redis) advise(runIds[0]!)
    const cursors = Object.fromEntries(runIds.map(runId => [runId, events.last(runId) ?? 0]))
    const runs = await database.call<Told[]>('get_told_steps', { p_cursors: cursors })
    for (const { runId, told } of runs) {
      for (const step of told) events.ingest(runId, step.first, step.events)
    }
  }

  async function tellEnds (runIds: string[]): Promise<void> {
    const ended = await database.call<Ended[]>('get_ended_runs', { p_run_ids: runIds })
    for (const { run, trace } of ended) restore(events, run, trace)
  }

  function advise (runId: string): void {
    if (hasAdvised) return
    hasAdvised = true
    app.log.info({ runId }, 'a reader here follows a run that another process makes: it is told what has ended of it; REDIS_URL would stream it')
  }
}

export default fp(remoteReaders, { name: 'elsewhere', dependencies: ['database', 'events', 'executor', 'redis'] })
