import { findCaller } from '../http/caller.ts'
import { addressOf, backendOf, findRun, requireEnded, type FoundAgent, type Visit } from '../context.ts'
import { errors } from '../errors.ts'
import { eventStream, json } from '../http/responses.ts'
import type { Run } from '../run.ts'
import { passOn, pollUntil, streamFinished, streamInPlace } from '../streams/streams.ts'

export type Wish = 'run' | 'events' | 'cancel'

const PATHS: Record<Wish, string> = { run: '', events: '/events', cancel: '/cancel' }
/** What a caller lets through: its credentials, and where it stands. Never the shared secret. */
const PASSED_HEADERS = ['authorization', 'x-api-key', 'last-event-id']
/** What the backend says of the request; of anything else the database knows as much. */
const FOR_CALLERS = new Set([200, 400, 429])
/** How long another isolate may take to hear that its run is cancelled. */
const CANCEL_MS = 10_000

/** A caller's run, its events, or its end: from the backend where there is one, else from here and the database. */
export async function resume (visit: Visit, runId: string, wish: Wish): Promise<Response> {
  const { request, fields, supabase, database, running } = visit
  const userId = fields.userId = await findCaller(request.headers, supabase, database)
  fields.runId = runId
  const run = await findRun(visit, runId)
  fields.agentId = run.agentId
  // What runs here is known nowhere better.
  const backend = running.has(runId) ? undefined : await findBackend(visit, userId, run)
  const response = backend && await ask(visit, backend, run, wish)
  fields.where = response ? 'backend' : 'edge'
  return response || answerHere(visit, userId, run, wish)
}

/** An agent that its user may no longer see leaves its runs to the backend that is there for all. */
async function findBackend (visit: Visit, userId: string, { agentId }: Run): Promise<string | undefined> {
  const agent = await visit.database.call<FoundAgent>('get_agent', { p_user_id: userId, p_agent_id: agentId }).catch(() => undefined)
  return backendOf(visit, agent)
}

/** Undefined: the backend cannot be reached, or does not know what it should. */
async function ask ({ request, deadline }: Visit, backend: string, { runId }: Run, wish: Wish): Promise<Response | undefined> {
  const headers = new Headers()
  for (const name of PASSED_HEADERS) {
    const value = request.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  const url = `${backend}/api/runs/${runId}${PATHS[wish]}`
  const response = await fetch(url + (wish === 'events' ? new URL(request.url).search : ''), {
    method: wish === 'cancel' ? 'POST' : 'GET',
    headers,
    redirect: 'manual'
  }).catch(() => undefined)
  if (!response || !FOR_CALLERS.has(response.status)) {
    await response?.body?.cancel()
    return undefined
  }
  if (wish === 'events' && response.ok) return eventStream(passOn(response.body!, readAfter(request), { runId, url, deadline }), runId)
  const body = await response.json().catch(() => undefined)
  const retryAfter = response.headers.get('retry-after')
  return body && json(response.status, body, retryAfter === null ? {} : { 'retry-after': retryAfter })
}

async function answerHere (visit: Visit, userId: string, run: Run, wish: Wish): Promise<Response> {
  if (wish === 'run') return json(200, run)
  if (wish === 'cancel') return json(200, await cancel(visit, userId, run.runId))
  const after = readAfter(visit.request)
  const here = visit.running.get(run.runId)
  // Wherever the run goes on when it leaves here, this address finds it again.
  if (here) return eventStream(streamInPlace(here, after, `${addressOf(visit, undefined, run.runId)}/events`), run.runId)
  return eventStream(streamFinished(await requireEnded(visit, run.runId), after), run.runId)
}

/** The last event that a reader has; a browser that reconnects says so in the header. */
function readAfter ({ headers, url }: Request): number {
  const after = Number(headers.get('last-event-id') ?? new URL(url).searchParams.get('after') ?? 0)
  if (!Number.isInteger(after) || after < 0) throw errors.badRequest('after must be the number of an event.')
  return after
}

/** Answers with the run once it has ended, or as it stands where that takes too long. */
async function cancel (visit: Visit, userId: string, runId: string): Promise<Run> {
  const run = await visit.database.call<Run>('cancel_run', { p_user_id: userId, p_run_id: runId })
  const here = visit.running.get(runId)
  here?.stop('cancelled')
  await here?.outcome
  if (run.finishedAt) return run
  const deadline = Math.min(visit.deadline, Date.now() + CANCEL_MS)
  const ended = await pollUntil(deadline, async () => {
    const now = await findRun(visit, runId)
    return now.finishedAt ? now : undefined
  })
  return ended ?? findRun(visit, runId)
}
