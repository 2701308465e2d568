import { errors, failureOf, ServiceError } from '../../_shared/errors.ts'
import { parseRetryAfter } from '../../_shared/http/retry-after.ts'
import { addressOf, findEnded, type RequestContext } from '../context.ts'
import { eventStream, json } from '../http/responses.ts'
import { answerAccepted, replay } from '../runs/answers.ts'
import { relay, streamReconnect } from '../streams/streams.ts'
import { settleForeignRun } from './foreign-run.ts'
import { type ForwardedRun, send } from './send.ts'

/** Characters. */
const MAX_ERROR_BODY = 64 * 1024
/** Statuses that say something about this function's request, not about the caller's. */
const NOT_FOR_CALLERS = new Set([401, 403, 404, 405])

/** Hands a run to the backend, which adopts and settles it, and relays the answer. */
export async function forward (context: RequestContext, forwarded: ForwardedRun): Promise<Response> {
  const { run: { runId }, body: { stream = true }, backend } = forwarded
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), context.deadline - Date.now())
  try {
    const response = await send(forwarded, abort.signal)
    if (!response.ok) throw await refusalOf(response)
    const foreignId = response.headers.get('x-run-id') ?? undefined
    if (foreignId !== runId) return await settleForeignRun(context, forwarded, response, foreignId)
    if (!stream) return json(200, await response.json(), { 'x-run-id': runId })
    // From here on the stream itself ends at the deadline.
    const url = `${addressOf(context, backend, runId)}/events`
    return eventStream(relay(response.body!, 0, { runId, url, deadline: context.deadline }), runId)
  } catch (error) {
    return await answerFailure(context, forwarded, error instanceof ServiceError ? error : errors.backendUnavailable().with({ cause: error }))
  } finally {
    clearTimeout(timer)
  }
}

/** The error of a backend's refusal: its own if it concerns the caller, else backend_unavailable. */
async function refusalOf (response: Response): Promise<ServiceError> {
  const { status } = response
  const text = status < 400 ? '' : (await response.text()).slice(0, MAX_ERROR_BODY)
  const { error, code, details, runId } = parse(text)
  if (typeof error !== 'string' || typeof code !== 'string' || NOT_FOR_CALLERS.has(status)) {
    return errors.backendUnavailable().with({ cause: new Error(`the backend answered ${status}`) })
  }
  return new ServiceError(code, status, error).with({ runId, details, retryAfter: parseRetryAfter(response.headers.get('retry-after') ?? '') })
}

function parse (text: string): { error?: unknown, code?: unknown, details?: ServiceError['details'], runId?: string } {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    return {}
  }
}

/**
 * Answers if there is no answer of the backend, or none that may be relayed. A run that nobody has adopted is dropped and
 * costs nothing; if it has been adopted, only the answer was lost.
 */
async function answerFailure (context: RequestContext, forwarded: ForwardedRun, error: ServiceError): Promise<Response> {
  const { userId, run: { runId }, joined, backend, body } = forwarded
  const args = { p_user_id: userId, p_run_id: runId }
  const run = joined
    ? await context.database.persist('get_run', args)
    : await context.database.persist('drop_run', { ...args, p_error: failureOf(error) })
  if (run.finishedAt) {
    const ended = run.status === 'succeeded' ? await findEnded(context, runId) : undefined
    if (ended) return replay(ended, body)
    throw error.with({ runId })
  }
  const url = addressOf(context, backend, runId)
  return body.stream ?? true ? eventStream(streamReconnect(runId, `${url}/events`), runId) : answerAccepted(run, url)
}
