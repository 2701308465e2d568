import type { Logger } from 'pino'
import type { Database } from '../../database/port.js'
import type { EventLog } from '../events/event-log.js'
import { restore } from '../events/restore.js'
import type { Executor } from './executor.js'

/** How often runs are looked up whose events Redis streams: their stream may be lost. */
const STREAMED_MS = 5_000

export interface RemoteReadersOptions {
  database: Pick<Database, 'call'>
  events: EventLog
  executor: Executor
  /** Whether replicas are joined by Redis, and whether it streams events right now. */
  hasRedis: boolean
  isStreaming (): boolean
  log: Pick<Logger, 'info'>
}

/**
 * Feeds readers here of runs that another process makes from what the database records of these: their finished steps,
 * and their end.
 */
export class RemoteReaders {
  #nextLook = 0
  #hasAdvised = false

  constructor (private readonly options: RemoteReadersOptions) {}

  /** One round. */
  async feed (): Promise<void> {
    const { events, executor, isStreaming } = this.options
    const runIds = events.remoteRuns().filter(runId => !executor.progressOf(runId))
    const isStreamed = isStreaming()
    if (runIds.length === 0 || (isStreamed && Date.now() < this.#nextLook)) return
    this.#nextLook = Date.now() + STREAMED_MS
    if (!isStreamed) await this.#ingestSteps(runIds)
    await this.#ingestEnds(runIds)
  }

  async #ingestSteps (runIds: string[]): Promise<void> {
    const { database, events, hasRedis } = this.options
    if (!hasRedis) this.#advise(runIds[0]!)
    const cursors = Object.fromEntries(runIds.map(runId => [runId, events.last(runId) ?? 0]))
    const runs = await database.call('get_told_steps', { p_cursors: cursors })
    for (const { runId, told } of runs) {
      for (const step of told) events.ingest(runId, step.first, step.events)
    }
  }

  async #ingestEnds (runIds: string[]): Promise<void> {
    const { database, events } = this.options
    const ended = await database.call('get_ended_runs', { p_run_ids: runIds })
    // One call returns so many bytes at most: the next round comes sooner, for what may be left.
    if (ended.length > 0) this.#nextLook = 0
    const failures: unknown[] = []
    for (const { run, trace } of ended) {
      try {
        restore(events, run, trace)
      } catch (error) {
        failures.push(error)
        // Its readers are told that the run is elsewhere, and do not wait for an end that cannot be shown here.
        events.evict(run.runId)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  #advise (runId: string): void {
    if (this.#hasAdvised) return
    this.#hasAdvised = true
    this.options.log.info({ runId }, 'a reader follows a run that another process makes: it gets finished steps and the end only; REDIS_URL would stream it')
  }
}
