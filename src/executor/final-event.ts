import { errors, restoreError, type ServiceError } from '../errors.js'
import type { Run, RunEvent } from '../schemas.js'

/** The event that ends the stream of a finished run. */
export function finalEvent (run: Run): RunEvent {
  const { runId, creditsCharged: creditsUsed, response, finishReason, usage, cached } = run
  if (run.status === 'cancelled') return { type: 'cancelled', runId, creditsUsed }
  if (run.status === 'failed') return errorEvent(runId, errorOf(run))
  return { type: 'done', response, executionTime: executionTime(run), runId, usage: usage!, creditsUsed, finishReason, ...(cached && { cached }) }
}

function errorEvent (runId: string, error: ServiceError): RunEvent {
  return { type: 'error', error: error.message, code: error.code, runId, retryable: error.isRetryable }
}

/** What a failed run failed of, as the error it was. */
function errorOf ({ error }: Run): ServiceError {
  return error ? restoreError(error.code, error.message) : errors.internal()
}

/** Milliseconds from a run's beginning to its end, the wait for its slot included. */
function executionTime ({ createdAt, finishedAt }: Run): number {
  return Math.max(0, Date.parse(finishedAt!) - Date.parse(createdAt))
}
