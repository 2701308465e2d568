import { answerOf, finalEvent } from '../../_shared/final-event.ts'
import type { ExecuteBody, Run } from '../../_shared/schemas.ts'
import type { EndedRun } from '../../_shared/trace.ts'
import { restOf } from '../backend/ask.ts'
import { addressOf, type RequestContext } from '../context.ts'
import { json } from '../http/responses.ts'
import { framesOfEnded } from '../streams/sources.ts'
import { tell } from '../streams/tell.ts'

/**
 * The answer with a finished run, as a stream or in one piece.
 * @throws {ServiceError} the run's error, if it does not stream, or to a plain reader.
 */
export async function replay (context: RequestContext, ended: EndedRun, { stream = true }: ExecuteBody): Promise<Response> {
  if (!stream) return answerWhole(ended.run)
  const { runId } = ended.run
  return tell(() => framesOfEnded(ended, 0), {
    runId,
    known: context.known,
    deltas: context.deltas,
    headMs: context.config.firstOutputMs,
    url: `${addressOf(context, undefined, runId)}/events`,
    rest: restOf(context, undefined, runId),
    deadline: context.deadline
  })
}

/** The answer with a finished run in one piece. @throws {ServiceError} the run's error. */
export function answerWhole (run: Run): Response {
  return json(200, answerOf(finalEvent(run)), { 'x-run-id': run.runId })
}

/** The answer to a request that ends before its run: 202 with the run's current state and its address. */
export function answerAccepted (run: Run, url: string): Response {
  return json(202, { ...run, url }, { 'x-run-id': run.runId, location: url })
}
