import { answerOf, finalEvent } from '../../_shared/final-event.ts'
import type { ExecuteBody, Run } from '../../_shared/schemas.ts'
import type { EndedRun } from '../../_shared/trace.ts'
import { eventStream, json } from '../http/responses.ts'
import { streamFinished } from '../streams/streams.ts'

/** The answer with a finished run, as a stream or in one piece. @throws {ServiceError} the run's error, if it does not stream. */
export function replay (ended: EndedRun, { stream = true }: ExecuteBody): Response {
  return stream ? eventStream(streamFinished(ended, 0), ended.run.runId) : answerWhole(ended.run)
}

/** The answer with a finished run in one piece. @throws {ServiceError} the run's error. */
export function answerWhole (run: Run): Response {
  return json(200, answerOf(finalEvent(run)), { 'x-run-id': run.runId })
}

/** The answer to a request that ends before its run: 202 with the run's current state and its address. */
export function answerAccepted (run: Run, url: string): Response {
  return json(202, { ...run, url }, { 'x-run-id': run.runId, location: url })
}
