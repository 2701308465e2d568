import { errors, restoreError, type ServiceError } from './errors.ts'
import type { ExecuteAnswer, FinalEvent, Run, RunEvent } from './schemas.ts'

/** The event that ends the stream of a finished run. */
export function finalEvent (run: Run): FinalEvent {
  const { runId, creditsCharged: creditsUsed, response, finishReason, usage, cached } = run
  if (run.status === 'cancelled') return { type: 'cancelled', runId, creditsUsed }
  if (run.status === 'failed') return errorEvent(runId, errorOf(run))
  return { type: 'done', response, executionTime: executionTime(run), runId, usage: usage!, creditsUsed, finishReason, ...(cached && { cached }) }
}

/** An error as the event that ends a stream. */
export function errorEvent (runId: string, error: ServiceError): Extract<FinalEvent, { type: 'error' }> {
  return { type: 'error', error: error.message, code: error.code, runId, retryable: error.isRetryable }
}

/** The error of a failed run, as it was thrown. */
function errorOf ({ error }: Run): ServiceError {
  return error ? restoreError(error.code, error.message) : errors.internal()
}

/** Milliseconds from the creation of a run to its end, including the wait for a slot. */
function executionTime ({ createdAt, finishedAt }: Run): number {
  return Math.max(0, Date.parse(finishedAt!) - Date.parse(createdAt))
}

export function isFinal (event: RunEvent): event is FinalEvent {
  return event.type === 'done' || event.type === 'error' || event.type === 'cancelled'
}

/**
 * The answer to a request that does not stream.
 * @throws {ServiceError} the error of a run that failed, with the run's id; run_cancelled.
 */
export function answerOf (event: FinalEvent): ExecuteAnswer {
  if (event.type === 'done') {
    const { type, ...answer } = event
    return answer
  }
  const error = event.type === 'error' ? restoreError(event.code, event.error) : errors.runCancelled()
  throw error.with({ runId: event.runId })
}
