import { addressOf, type Visit } from '../context.ts'
import { errors } from '../errors.ts'
import type { Begun } from '../runs/execute.ts'
import type { Forwarded } from './forward.ts'
import { eventStream, json } from '../http/responses.ts'
import { LEASE_SECONDS } from '../runs/leases.ts'
import { keepAlive } from '../http/log.ts'
import { readData } from '../streams/sse.ts'
import { priceOf } from '../price.ts'
import { passOn } from '../streams/streams.ts'
import { NO_USAGE, type Usage } from '../usage.ts'

/** What a backend said of a run of its own: the text so far, and how it ended. */
interface Said { response: string, hasOutput: boolean, isWhole: boolean, usage?: Usage, error?: { code: string, message: string } }

const BROKE_OFF = { code: 'backend_unavailable', message: 'The backend broke off before it said anything.' }

/**
 * A backend that knows no x-run-id answers with a run of its own, and charges nothing. Then the run that was begun here
 * is taken on and settled here: one credit where there was output.
 */
export async function settleUnadopted (visit: Visit, forwarded: Forwarded, response: Response, theirs = ''): Promise<Response> {
  const { body: { stream = true }, backend, run: { runId } } = forwarded
  const settle = await takeOn(visit, forwarded)
  if (!stream) {
    const answer = await response.json().catch(() => undefined)
    const text = typeof answer?.response === 'string' ? answer.response : ''
    await settle({ response: text, hasOutput: text !== '', isWhole: true, usage: usageOf(answer), ...(answer ? {} : { error: BROKE_OFF }) })
    if (!answer) throw errors.backendUnavailable()
    return json(200, answer, { 'x-run-id': theirs || runId })
  }
  // One branch for the reader, who may leave, and one for the settlement, which may not.
  const [passed, read] = response.body!.tee()
  keepAlive(listen(read, visit.deadline).then(settle), runId)
  // A run that has no name there can be asked for here, once it is settled.
  const url = `${addressOf(visit, theirs ? backend : undefined, theirs || runId)}/events`
  return eventStream(passOn(passed, 0, { runId: theirs || runId, url, deadline: visit.deadline }), theirs || runId)
}

/** Becomes the run's owner, for as long as the backend speaks. Returns how to settle it; somebody else's run is left alone. */
async function takeOn ({ database, leases }: Visit, { userId, run: { runId } }: Forwarded): Promise<(said: Said) => Promise<void>> {
  const { run, rates, joined } = await database.persist<Begun>('adopt_run', {
    p_user_id: userId, p_run_id: runId, p_owner: leases.owner, p_lease_seconds: LEASE_SECONDS, p_python: true
  })
  if (joined) return async () => {}
  const release = leases.hold(runId, () => {})
  const [model = '*'] = Object.keys(rates ?? {}).filter(name => name !== '*')
  return async ({ response, hasOutput, usage = NO_USAGE, error }) => {
    await database.persist('finish_run', {
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
  }
}

/** Reads a stream to its end, or until the time is up. */
async function listen (body: ReadableStream<Uint8Array<ArrayBuffer>>, deadline: number): Promise<Said> {
  const said: Said = { response: '', hasOutput: false, isWhole: false }
  const reader = body.getReader()
  const timer = setTimeout(() => reader.cancel().catch(() => {}), deadline - Date.now())
  try {
    for await (const frames of readData(iterate(reader))) frames.forEach(data => note(said, data))
  } catch {
    // What was said before the break was said.
  }
  clearTimeout(timer)
  if (!said.isWhole) said.error ??= BROKE_OFF
  return said
}

async function * iterate (reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value
}

/** As this service tells it; of anybody else nothing is known. */
function usageOf (answer: { usage?: Usage | null } | undefined): Usage | undefined {
  const usage = answer?.usage
  return usage && [usage.promptTokens, usage.completionTokens, usage.totalTokens].every(Number.isInteger) ? usage : undefined
}

function note (said: Said, data: string): void {
  if (!data.startsWith('{')) return
  const { type, content, response, usage, error, code } = JSON.parse(data)
  if (type === 'chunk' && typeof content === 'string') said.response += content
  if (type === 'done' && typeof response === 'string') said.response = response
  if (type === 'done') said.usage = usageOf({ usage })
  said.isWhole ||= type === 'done' || type === 'error'
  if (type === 'error') said.error = { code: String(code ?? 'backend_failed'), message: String(error) }
  said.hasOutput ||= said.response !== ''
}
