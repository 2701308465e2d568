import type { SettledRun } from '#shared/database/functions.ts'
import { errors, failureOf, ServiceError, toServiceError } from '#shared/errors.ts'
import type { Trace } from '#shared/trace.ts'
import type { Progress } from '../agent/progress.js'
import type { Result, RunStore } from './run-store.js'

/** Why an attempt is stopped from outside: the reason of its signal. */
export class Stop {
  /**
   * @param why `cancelled`: the caller ends the run. `overdue`: it has lasted longer than a run may. `released`: this process
   * ends, and another one goes on with the run. `lost`: another process has taken the run over. After the latter two nothing
   * is written here.
   * @param error the failure that callers see, if the run is to fail.
   */
  constructor (readonly why: 'cancelled' | 'overdue' | 'released' | 'lost', readonly error?: ServiceError) {}
}

/**
 * What an attempt comes to, to be settled.
 * @param failure what ended it, if not its own end.
 * @param trace its events.
 */
export function resultOf (progress: Progress, failure: unknown, trace: Trace): Result {
  const { response, finishReason, usage, model, bill, hasOutput, hasAnswer } = progress
  const error = failure instanceof Stop ? failure.error ?? null : failure === undefined ? null : toServiceError(failure)
  return {
    status: error ? 'failed' : failure instanceof Stop ? 'cancelled' : 'succeeded',
    response,
    finishReason,
    usage,
    // Nobody pays for a fault of ours, nor for a failure that came before any output, unless a model has worked for it.
    credits: error && (error.code === errors.internal.code || !(hasOutput || hasAnswer)) ? 0 : bill.credits,
    model,
    error: error && failureOf(error),
    failures: progress.failures,
    trace
  }
}

/**
 * Settles a run: `finish_run` writes its result, charges its credits and returns the rest of the reservation, in one
 * transaction. A result that cannot be written is replaced by an internal error, or the run would be attempted for ever.
 * @param onRefused takes the error for which a result could not be written.
 * @throws {ServiceError} stale_attempt where another process has the run; whatever else the store throws.
 */
export async function settle (store: RunStore, runId: string, attempt: number, result: Result, onRefused: (error: unknown) => void): Promise<SettledRun> {
  try {
    return await store.finish(runId, attempt, result)
  } catch (error) {
    if (error instanceof ServiceError && error.code !== errors.internal.code) throw error
    onRefused(error)
    const { code, message } = errors.internal()
    return store.finish(runId, attempt, { ...result, status: 'failed', usage: null, credits: 0, error: { code, message }, trace: null })
  }
}
