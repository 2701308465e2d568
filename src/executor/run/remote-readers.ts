import type { Logger } from 'pino'
import type { Database } from '../../database/port.js'
import type { EventLog } from '../events/event-log.js'
import { restore } from '../events/restore.js'
import type { Executor } from './executor.js'

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
 * and their end. With Redis the log does so itself while that is there.
 */
export class RemoteReaders {
  #hasAdvised = false

  constructor (private readonly options: RemoteReadersOptions) {}

  /** One round. */
  async feed (): Promise<void> {
    const { database, events, executor, isStreaming } = this.options
    const runIds = events.remoteRuns().filter(runId => !executor.progressOf(runId))
    if (runIds.length === 0 || isStreaming()) return
    await this.#ingestSteps(runIds)
    await readEnds(database, events, runIds)
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

  #advise (runId: string): void {
    if (this.#hasAdvised) return
    this.#hasAdvised = true
    this.options.log.info({ runId }, 'a reader follows a run that another process makes: it gets finished steps and the end only; REDIS_URL would stream it')
  }
}

/**
 * Puts the events of those of the given runs that have ended into the log. One call returns so many bytes at most: the others are
 * read when they are asked for again.
 * @throws the first failure, after all runs: the readers of a run whose end cannot be shown here are told that it is elsewhere.
 */
export async function readEnds (database: Pick<Database, 'call'>, events: EventLog, runIds: string[]): Promise<void> {
  const ended = await database.call('get_ended_runs', { p_run_ids: runIds })
  const failures: unknown[] = []
  for (const { run, trace } of ended) {
    try {
      restore(events, run, trace)
    } catch (error) {
      failures.push(error)
      events.evict(run.runId)
    }
  }
  if (failures.length > 0) throw failures[0]
}
