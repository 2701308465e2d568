import { errors } from '../../_shared/errors.ts'
import { DEFAULT_MAX_TOKENS } from '../../_shared/gateway/defaults.ts'
import { toKnownMessages } from '../../_shared/messages.ts'
import { priceOf } from '../../_shared/price.ts'
import type { RunError, Usage } from '../../_shared/schemas.ts'
import { boundUsage, NO_USAGE } from '../../_shared/usage.ts'
import { addressOf, type RequestContext } from '../context.ts'
import { keepAlive } from '../http/log.ts'
import { json } from '../http/responses.ts'
import { LEASE_SECONDS } from '../runs/leases.ts'
import { readData } from '../streams/sse-data.ts'
import { framesOfBody } from '../streams/sources.ts'
import { tell } from '../streams/tell.ts'
import { restOf } from './ask.ts'
import type { ForwardedRun } from './send.ts'

/** What a backend answered about a run of its own: the response so far and the end. */
interface ForeignResult { response: string, hasOutput: boolean, isWhole: boolean, usage?: Usage, error?: RunError }

const BROKE_OFF: RunError = { code: 'backend_unavailable', message: 'The backend broke off before it said anything.' }

/**
 * Answers with the run of a backend that does not know `x-run-id`: it has begun a run of its own and charges nothing. This
 * function adopts the run that it has begun and settles it: one credit if there was output.
 * @param foreignId the id of the backend's own run, if it named it.
 */
export async function settleForeignRun (context: RequestContext, forwarded: ForwardedRun, response: Response, foreignId = ''): Promise<Response> {
  const { body: { stream = true }, backend, run: { runId } } = forwarded
  const settle = await adopt(context, forwarded)
  if (!stream) {
    const answer = await response.json().catch(() => undefined)
    const text = typeof answer?.response === 'string' ? answer.response : ''
    await settle({ response: text, hasOutput: text !== '', isWhole: true, usage: usageOf(answer), ...(answer ? {} : { error: BROKE_OFF }) })
    if (!answer) throw errors.backendUnavailable()
    return json(200, answer, { 'x-run-id': foreignId || runId })
  }
  // One branch for the reader, who may leave, and one for the settlement, which needs the whole stream.
  const [relayed, read] = response.body!.tee()
  keepAlive(readResult(read, context.deadline).then(settle), runId)
  // Without an id of its own the run can be read only here, after its settlement.
  const url = `${addressOf(context, foreignId ? backend : undefined, foreignId || runId)}/events`
  return tell(signal => framesOfBody(relayed, signal), {
    runId: foreignId || runId,
    known: context.known,
    deltas: context.deltas,
    headMs: context.config.firstOutputMs,
    url,
    rest: restOf(context, foreignId ? backend : undefined, runId, foreignId || runId),
    deadline: context.deadline
  })
}

/** Adopts the run. Returns how to settle it, which does nothing if another process has adopted it before. */
async function adopt ({ database, leases, tracer }: RequestContext, { userId, agent, body: { messages }, run: { runId }, trace }: ForwardedRun): Promise<(result: ForeignResult) => Promise<void>> {
  const { run, rates, joined } = await database.persist('adopt_run', {
    p_user_id: userId,
    p_run_id: runId,
    p_owner: leases.owner,
    p_lease_seconds: LEASE_SECONDS,
    p_python: true,
    // `persist` may make the call again after its answer was lost.
    p_repeated: true
  })
  if (joined) return async () => {}
  const release = leases.hold(runId, () => {})
  const spans = tracer?.openRun({ run, kind: 'edge', traceContext: trace, agent })
  const [model = '*'] = Object.keys(rates ?? {}).filter(name => name !== '*')
  return async ({ response, hasOutput, usage: reported = NO_USAGE, error }) => {
    const usage = boundUsage(reported, [...toKnownMessages(messages), { role: 'system', content: JSON.stringify(agent) }], response, { maxTokens: agent.maxTokens ?? DEFAULT_MAX_TOKENS })
    const settled = await database.persist('finish_run', {
      p_run_id: runId,
      p_attempt: run.attempt,
      p_status: error ? 'failed' : 'succeeded',
      p_response: response,
      p_finish_reason: null,
      p_usage: usage,
      p_credits: hasOutput ? priceOf(rates, model, usage) : 0,
      p_model: null,
      p_error: error ?? null
    }).finally(release)
    spans?.end(settled, { model: null })
    await tracer?.exporter.flush()
  }
}

/** Reads a stream to its end, or until the deadline. */
async function readResult (body: ReadableStream<Uint8Array<ArrayBuffer>>, deadline: number): Promise<ForeignResult> {
  const result: ForeignResult = { response: '', hasOutput: false, isWhole: false }
  const reader = body.getReader()
  const timer = setTimeout(() => reader.cancel().catch(() => {}), deadline - Date.now())
  try {
    for await (const frames of readData(iterate(reader))) frames.forEach(data => note(result, data))
  } catch {
    // Output that arrived before the stream broke still counts.
  }
  clearTimeout(timer)
  if (!result.isWhole) result.error ??= BROKE_OFF
  return result
}

async function * iterate (reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
}

/** The usage in this project's form; undefined for any other form. */
function usageOf (answer: { usage?: Usage | null } | undefined): Usage | undefined {
  const usage = answer?.usage
  return usage && [usage.promptTokens, usage.completionTokens, usage.totalTokens].every(Number.isInteger) ? usage : undefined
}

function note (result: ForeignResult, data: string): void {
  if (!data.startsWith('{')) return
  const { type, content, response, usage, error, code } = JSON.parse(data)
  if (type === 'chunk' && typeof content === 'string') result.response += content
  if (type === 'done' && typeof response === 'string') result.response = response
  if (type === 'done') result.usage = usageOf({ usage })
  result.isWhole ||= type === 'done' || type === 'error'
  if (type === 'error') result.error = { code: String(code ?? 'backend_failed'), message: String(error) }
  result.hasOutput ||= result.response !== ''
}
