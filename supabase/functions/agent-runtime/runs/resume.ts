import type { FoundAgent } from '../../_shared/database/functions.ts'
import { errors } from '../../_shared/errors.ts'
import { accessArguments, type Caller, readAccessOf, type RunAccess } from '../../_shared/http/caller.ts'
import { isEventSource } from '../../_shared/http/sse.ts'
import type { Run } from '../../_shared/schemas.ts'
import { lastSeqOf } from '../../_shared/trace.ts'
import { askBackend, restOf, type RunAction } from '../backend/ask.ts'
import { addressOf, backendOf, findEnded, findRun, isHeavy, type RequestContext, requireEnded } from '../context.ts'
import { findCaller } from '../http/caller.ts'
import { json } from '../http/responses.ts'
import type { Frames } from '../streams/frame.ts'
import { pollUntil } from '../streams/poll.ts'
import { framesOfBody, framesOfEnded, framesOfLocalRun } from '../streams/sources.ts'
import { firstOf, tell } from '../streams/tell.ts'

/** Statuses of the backend that are passed to the caller. After any other one the database answers. */
const FOR_CALLERS = new Set([200, 400, 429])
/** Milliseconds to wait until another isolate learns that its run is cancelled. */
const CANCEL_MS = 10_000

/**
 * Answers a request about a run: by the backend if there is one, else from this isolate and the database.
 * @param named the run's id, in small letters or capitals.
 */
export async function resume (context: RequestContext, named: string, action: RunAction): Promise<Response> {
  const { fields, running } = context
  const { caller } = await findCaller(context)
  fields.userId = caller.userId
  fields.runId = named
  const run = await findRun(context, action === 'cancel' ? caller : readAccessOf(caller), named)
  const { runId } = run
  fields.agentId = run.agentId
  if (action === 'events' && await hasAll(context, run)) return new Response(null, { status: 204, headers: { 'x-run-id': runId } })
  // Only this isolate knows the events of its own runs.
  const agent = running.has(runId) ? undefined : await findAgent(context, run)
  const backend = running.has(runId) ? undefined : backendOf(context, agent)
  const withDeltas = { ...context, deltas: running.has(runId) || (agent !== undefined && !isHeavy(agent)) }
  const response = backend && await ask(withDeltas, backend, run, action)
  fields.where = response ? 'backend' : 'edge'
  return response || answerHere(withDeltas, caller, run, action)
}

/** Whether a run has ended, and a reader that would ask for ever has its last event. */
async function hasAll (context: RequestContext, { runId, finishedAt }: Run): Promise<boolean> {
  const { headers } = context.request
  const after = readAfter(context.request)
  if (!finishedAt || after === 0 || !isEventSource({ lastEventId: headers.get('last-event-id'), accept: headers.get('accept') })) return false
  const ended = await findEnded(context, runId)
  return ended !== undefined && after >= lastSeqOf(ended)
}

/** The agent of a run; undefined if the user may no longer see it. */
function findAgent ({ database, fields }: RequestContext, { agentId }: Run): Promise<FoundAgent | undefined> {
  return database.call('get_agent', { p_user_id: fields.userId!, p_agent_id: agentId }).catch(() => undefined)
}

/** The backend's answer; undefined if it cannot be reached or answers with a status that is not for callers. */
async function ask (context: RequestContext, backend: string, { runId }: Run, action: RunAction): Promise<Response | undefined> {
  const after = action === 'events' ? readAfter(context.request) : 0
  const response = await askBackend(context, backend, runId, action, { after: firstOf(context, after) })
  if (!response || !FOR_CALLERS.has(response.status)) {
    await response?.body?.cancel()
    return undefined
  }
  if (action === 'events' && response.ok) return tellRun(context, runId, after, backend, signal => framesOfBody(response.body!, signal))
  const body = await response.json().catch(() => undefined)
  const retryAfter = response.headers.get('retry-after')
  return body && json(response.status, body, retryAfter === null ? {} : { 'retry-after': retryAfter })
}

/** @param backend where the events come from; undefined: from here, and this address finds the run again wherever it goes on. */
function tellRun (context: RequestContext, runId: string, after: number, backend: string | undefined, open: (signal: AbortSignal) => Frames): Promise<Response> {
  const { known, deltas, deadline } = context
  return tell(open, { runId, after, known, deltas, url: `${addressOf(context, backend, runId)}/events`, rest: restOf(context, backend ?? backendOf(context), runId), deadline })
}

async function answerHere (context: RequestContext, caller: Caller, run: Run, action: RunAction): Promise<Response> {
  if (action === 'read') return json(200, run)
  if (action === 'cancel') return json(200, await cancel(context, caller, run.runId))
  const { runId } = run
  const after = readAfter(context.request)
  const first = firstOf(context, after)
  const local = context.running.get(runId)
  if (local) return tellRun(context, runId, after, undefined, () => framesOfLocalRun(local, first))
  const ended = await requireEnded(context, runId)
  return tellRun(context, runId, after, undefined, () => framesOfEnded(ended, first))
}

/** The number of the last event that a reader has. Browsers that reconnect send it in the header. */
function readAfter ({ headers, url }: Request): number {
  const after = Number(headers.get('last-event-id') ?? new URL(url).searchParams.get('after') ?? 0)
  if (!Number.isInteger(after) || after < 0) throw errors.badRequest('after must be the number of an event.')
  return after
}

/** Cancels a run. Returns it once it has ended, or in its current state if that takes too long. */
async function cancel (context: RequestContext, access: RunAccess, runId: string): Promise<Run> {
  const run = await context.database.call('cancel_run', { p_run_id: runId, ...accessArguments(access) })
  const local = context.running.get(runId)
  local?.stop('cancelled')
  await local?.outcome
  if (run.finishedAt) return run
  const deadline = Math.min(context.deadline, Date.now() + CANCEL_MS)
  const ended = await pollUntil(deadline, async () => {
    const now = await findRun(context, access, runId)
    return now.finishedAt ? now : undefined
  })
  return ended ?? findRun(context, access, runId)
}
