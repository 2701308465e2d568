import { errors } from '../../_shared/errors.ts'
import type { Run } from '../../_shared/schemas.ts'
import { addressOf, backendOf, findRun, type RequestContext, requireEnded } from '../context.ts'
import { findCaller } from '../http/caller.ts'
import { eventStream, json } from '../http/responses.ts'
import { pollUntil, relay, streamFinished, streamLocalRun } from '../streams/streams.ts'

/** A request about a run that exists: read it, follow its events, or cancel it. */
export type RunAction = 'read' | 'events' | 'cancel'

const PATHS: Record<RunAction, string> = { read: '', events: '/events', cancel: '/cancel' }
/** Headers that are passed to the backend: the caller's credentials and its last event. Never the shared secret. */
const PASSED_HEADERS = ['authorization', 'x-api-key', 'last-event-id']
/** Statuses of the backend that are passed to the caller. After any other one the database answers. */
const FOR_CALLERS = new Set([200, 400, 429])
/** Milliseconds to wait until another isolate learns that its run is cancelled. */
const CANCEL_MS = 10_000

/** Answers a request about a run: by the backend if there is one, else from this isolate and the database. */
export async function resume (context: RequestContext, runId: string, action: RunAction): Promise<Response> {
  const { request, fields, supabase, database, running } = context
  const userId = fields.userId = await findCaller(request.headers, supabase, database)
  fields.runId = runId
  const run = await findRun(context, runId)
  fields.agentId = run.agentId
  // Only this isolate knows the events of its own runs.
  const backend = running.has(runId) ? undefined : await findBackend(context, userId, run)
  const response = backend && await ask(context, backend, run, action)
  fields.where = response ? 'backend' : 'edge'
  return response || answerHere(context, userId, run, action)
}

/** The backend of a run's agent; the configured one if the user may no longer see the agent. */
async function findBackend (context: RequestContext, userId: string, { agentId }: Run): Promise<string | undefined> {
  const agent = await context.database.call('get_agent', { p_user_id: userId, p_agent_id: agentId }).catch(() => undefined)
  return backendOf(context, agent)
}

/** The backend's answer; undefined if it cannot be reached or answers with a status that is not for callers. */
async function ask ({ request, deadline }: RequestContext, backend: string, { runId }: Run, action: RunAction): Promise<Response | undefined> {
  const headers = new Headers()
  for (const name of PASSED_HEADERS) {
    const value = request.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  const url = `${backend}/api/runs/${runId}${PATHS[action]}`
  const response = await fetch(url + (action === 'events' ? new URL(request.url).search : ''), {
    method: action === 'cancel' ? 'POST' : 'GET',
    headers,
    redirect: 'manual'
  }).catch(() => undefined)
  if (!response || !FOR_CALLERS.has(response.status)) {
    await response?.body?.cancel()
    return undefined
  }
  if (action === 'events' && response.ok) return eventStream(relay(response.body!, readAfter(request), { runId, url, deadline }), runId)
  const body = await response.json().catch(() => undefined)
  const retryAfter = response.headers.get('retry-after')
  return body && json(response.status, body, retryAfter === null ? {} : { 'retry-after': retryAfter })
}

async function answerHere (context: RequestContext, userId: string, run: Run, action: RunAction): Promise<Response> {
  if (action === 'read') return json(200, run)
  if (action === 'cancel') return json(200, await cancel(context, userId, run.runId))
  const after = readAfter(context.request)
  const local = context.running.get(run.runId)
  // This address finds the run again wherever it goes on.
  if (local) return eventStream(streamLocalRun(local, after, `${addressOf(context, undefined, run.runId)}/events`), run.runId)
  return eventStream(streamFinished(await requireEnded(context, run.runId), after), run.runId)
}

/** The number of the last event that a reader has. Browsers that reconnect send it in the header. */
function readAfter ({ headers, url }: Request): number {
  const after = Number(headers.get('last-event-id') ?? new URL(url).searchParams.get('after') ?? 0)
  if (!Number.isInteger(after) || after < 0) throw errors.badRequest('after must be the number of an event.')
  return after
}

/** Cancels a run. Returns it once it has ended, or in its current state if that takes too long. */
async function cancel (context: RequestContext, userId: string, runId: string): Promise<Run> {
  const run = await context.database.call('cancel_run', { p_user_id: userId, p_run_id: runId })
  const local = context.running.get(runId)
  local?.stop('cancelled')
  await local?.outcome
  if (run.finishedAt) return run
  const deadline = Math.min(context.deadline, Date.now() + CANCEL_MS)
  const ended = await pollUntil(deadline, async () => {
    const now = await findRun(context, runId)
    return now.finishedAt ? now : undefined
  })
  return ended ?? findRun(context, runId)
}
