import type { ExecuteBody } from '../http/body.ts'
import { addressOf, findEnded, type FoundAgent, type Visit } from '../context.ts'
import { EdgeError, errors } from '../errors.ts'
import { goesOn, replay } from '../runs/execute.ts'
import { eventStream, json } from '../http/responses.ts'
import type { Run } from '../run.ts'
import { passOn, streamElsewhere } from '../streams/streams.ts'
import { settleUnadopted } from './unadopted.ts'

export interface Forwarded {
  userId: string
  agent: FoundAgent
  run: Run
  /** The run was begun by an earlier request, whose affair it is to end it where the backend cannot be reached. */
  joined: boolean
  backend: string
  secret: string
  body: ExecuteBody
}

const RETRY_PAUSE_MS = 250
const MAX_ERROR_BODY = 64 * 1024
/** What the backend says of this function and not of what its caller sent. */
const NOT_FOR_CALLERS = new Set([401, 403, 404, 405])

/** Hands a run to the backend, which adopts it and settles it, and passes on what it says. */
export async function forward (visit: Visit, forwarded: Forwarded): Promise<Response> {
  const { run: { runId }, body: { stream = true }, backend } = forwarded
  const hands = new AbortController()
  const timer = setTimeout(() => hands.abort(), visit.deadline - Date.now())
  try {
    const response = await send(forwarded, hands.signal)
    if (!response.ok) throw await refusalOf(response)
    const theirs = response.headers.get('x-run-id') ?? undefined
    if (theirs !== runId) return await settleUnadopted(visit, forwarded, response, theirs)
    if (!stream) return json(200, await response.json(), { 'x-run-id': runId })
    // From here on the stream has its own eye on the time.
    const url = `${addressOf(visit, backend, runId)}/events`
    return eventStream(passOn(response.body!, 0, { runId, url, deadline: visit.deadline }), runId)
  } catch (error) {
    return await afterFailure(visit, forwarded, error instanceof EdgeError ? error : errors.backendUnavailable().with({ cause: error }))
  } finally {
    clearTimeout(timer)
  }
}

/** A connection that breaks before there is an answer is tried once more: the run is adopted once, and joined the second time. */
async function send (forwarded: Forwarded, signal: AbortSignal): Promise<Response> {
  try {
    return await post(forwarded, signal)
  } catch (error) {
    if (signal.aborted) throw error
    await new Promise(resolve => setTimeout(resolve, RETRY_PAUSE_MS))
    return post(forwarded, signal)
  }
}

function post ({ userId, agent, run, backend, secret, body }: Forwarded, signal: AbortSignal): Promise<Response> {
  return fetch(`${backend}/api/agent/execute-validated`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-railway-secret': secret,
      'x-run-id': run.runId,
      // For a backend that knows no x-run-id: it does not run twice what is sent twice.
      'idempotency-key': run.runId
    },
    body: JSON.stringify({
      userId,
      agentId: agent.agentId,
      agentConfig: {
        name: agent.name,
        system_prompt: agent.systemPrompt,
        ai_model: agent.model,
        temperature: agent.temperature,
        max_tokens: agent.maxTokens,
        knowledge_base: agent.knowledgeBase
      },
      messages: body.messages,
      response_format: body.response_format,
      stream: body.stream ?? true
    }),
    // The secret goes nowhere else.
    redirect: 'manual',
    signal
  })
}

/** What the backend refused, as far as it is its caller's affair. */
async function refusalOf (response: Response): Promise<EdgeError> {
  const { status } = response
  const text = status < 400 ? '' : (await response.text()).slice(0, MAX_ERROR_BODY)
  const { error, code, details, runId } = parse(text)
  if (typeof error !== 'string' || typeof code !== 'string' || NOT_FOR_CALLERS.has(status)) {
    return errors.backendUnavailable().with({ cause: new Error(`the backend answered ${status}`) })
  }
  const retryAfter = Number(response.headers.get('retry-after') ?? undefined)
  return new EdgeError(code, status, error).with({ runId, details, ...(retryAfter >= 0 ? { retryAfter } : {}) })
}

function parse (text: string): { error?: unknown, code?: unknown, details?: EdgeError['details'], runId?: string } {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    return {}
  }
}

/**
 * There is no answer, or none to be passed on. What nobody has taken on is dropped, and costs nothing; where somebody
 * has it only the answer was lost.
 */
async function afterFailure (visit: Visit, forwarded: Forwarded, error: EdgeError): Promise<Response> {
  const { userId, run: { runId }, joined, backend, body } = forwarded
  const args = { p_user_id: userId, p_run_id: runId }
  const run = joined
    ? await visit.database.persist<Run>('get_run', args)
    : await visit.database.persist<Run>('drop_run', { ...args, p_error: { code: error.code, message: error.message } })
  if (run.finishedAt) {
    const ended = run.status === 'succeeded' ? await findEnded(visit, runId) : undefined
    if (ended) return replay(ended, body)
    throw error.with({ runId })
  }
  const url = addressOf(visit, backend, runId)
  return body.stream ?? true ? eventStream(streamElsewhere(runId, `${url}/events`), runId) : goesOn(run, url)
}
