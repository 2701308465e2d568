import { setTimeout as delay } from 'node:timers/promises'
import { ServiceError } from '#shared/errors.ts'
import { withoutTexts } from '#shared/trace.ts'
import type { Database } from '../../database/port.js'
import type { RunStore } from './run-store.js'

const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 5_000
/** While a run is under way, a function that is missing is one that PostgREST has not loaded yet. */
const PASSING = new Set(['database_unavailable', 'database_not_migrated'])

export interface DatabaseRunStoreOptions {
  database: Pick<Database, 'call'>
  /** Whether a run's messages, and what its events quote of them, are kept beyond its end. */
  keepMessages: boolean
  /** Aborted when the process ends: no write is repeated from then on. */
  closing: AbortSignal
}

/** The run store on the database. Every call is repeated while the database is away: a run's end is emitted only after it is settled. */
export function createDatabaseRunStore ({ database, keepMessages, closing }: DatabaseRunStoreOptions): RunStore {
  return {
    async start (runId, attempt) {
      await persist(() => database.call('start_run', { p_run_id: runId, p_attempt: attempt }), closing)
    },
    readInput: (runId, attempt) => persist(() => database.call('get_run_input', { p_run_id: runId, p_attempt: attempt }), closing),
    record (runId, attempt, { number, summary, record, credits, emitted }) {
      return persist(() => database.call('record_step', {
        p_run_id: runId,
        p_attempt: attempt,
        p_number: number,
        p_step: { ...summary, startedAt: summary.startedAt.toISOString() },
        p_record: record,
        p_credits: credits,
        p_told: emitted
      }), closing)
    },
    async finish (runId, attempt, result) {
      // They are in the log too, so that they may be lost here.
      if (result.failures) await database.call('note_failures', { p_run_id: runId, p_attempt: attempt, p_failures: result.failures }).catch(() => {})
      return persist(() => database.call('finish_run', {
        p_run_id: runId,
        p_attempt: attempt,
        p_status: result.status,
        p_response: result.response,
        p_finish_reason: result.finishReason,
        p_usage: result.usage,
        p_credits: result.credits,
        p_model: result.model,
        p_error: result.error,
        p_trace: result.trace && !keepMessages ? withoutTexts(result.trace) : result.trace,
        p_keep_messages: keepMessages
      }), closing)
    }
  }
}

/** Repeats a call until it succeeds, fails for good, or the process ends; all of them may be repeated safely. */
async function persist<T> (write: () => Promise<T>, closing: AbortSignal): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(MAX_PAUSE_MS, pause * 2)) {
    try {
      return await write()
    } catch (error) {
      const isPassing = error instanceof ServiceError && PASSING.has(error.code)
      if (closing.aborted || !isPassing) throw error
    }
    await delay(pause, undefined, { signal: closing }).catch(() => {})
  }
}
