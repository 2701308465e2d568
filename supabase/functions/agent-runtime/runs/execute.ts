import { readBody, type ExecuteBody } from '../http/body.ts'
import { findCaller } from '../http/caller.ts'
import { addressOf, backendOf, findEnded, findRun, type FoundAgent, type Visit } from '../context.ts'
import { errors, required } from '../errors.ts'
import { forward } from '../backend/forward.ts'
import { eventStream, json } from '../http/responses.ts'
import { LEASE_SECONDS } from './leases.ts'
import { keepAlive } from '../http/log.ts'
import { hashRequest, type Agent } from '../prompt.ts'
import type { Rates } from '../price.ts'
import { RunInPlace, type CachedAnswer } from './local-run.ts'
import { answerOf, type Ended, type Run } from '../run.ts'
import { pollUntil, streamFinished, streamInPlace, streamWhenEnded } from '../streams/streams.ts'

export interface Begun { run: Run, agent: Agent | null, rates?: Rates, cached?: CachedAnswer | null, joined: boolean }

/** Runs an agent as the caller: a heavy one at its backend, any other here. */
export async function execute (visit: Visit): Promise<Response> {
  const { request, fields, supabase, database } = visit
  const userId = fields.userId = await findCaller(request.headers, supabase, database)
  const key = readKey(request.headers)
  const body = await readBody(request)
  fields.agentId = body.agentId
  const agent = await database.call<FoundAgent>('get_agent', { p_user_id: userId, p_agent_id: body.agentId })
  return isHeavy(visit, agent)
    ? executeHeavy(visit, userId, agent, body, key)
    : executeHere(visit, userId, agent, body, key)
}

/** Functions of agents are run by the service: where there is one, agents that have any are for it. */
function isHeavy (visit: Visit, agent: FoundAgent): boolean {
  const hasService = backendOf(visit, agent) !== undefined && visit.config.backendSecret !== undefined
  return agent.isHeavy || agent.executor === 'python' || (agent.hasFunctions && hasService)
}

/** As a header value can be: printable ASCII. */
function readKey (headers: Headers): string | null {
  const key = headers.get('idempotency-key')
  if (key === null || /^[\x20-\x7e]{1,255}$/.test(key)) return key
  throw errors.badRequest('The Idempotency-Key header is 1 to 255 characters of printable ASCII.')
}

async function executeHeavy (visit: Visit, userId: string, agent: FoundAgent, body: ExecuteBody, key: string | null): Promise<Response> {
  visit.fields.where = 'backend'
  const backend = backendOf(visit, agent)
  const secret = visit.config.backendSecret
  if (!backend || !secret) throw errors.heavyNotConfigured()
  const { run, joined } = await begin(visit, userId, body, key, { p_owner: null, p_waiting: true, p_python: true })
  const ended = joined && run.finishedAt && await findEnded(visit, run.runId)
  if (ended) return replay(ended, body)
  return forward(visit, { userId, agent, run, joined, backend, secret, body })
}

async function executeHere (visit: Visit, userId: string, found: FoundAgent, body: ExecuteBody, key: string | null): Promise<Response> {
  visit.fields.where = 'edge'
  const { config, database, leases, running, deadline } = visit
  const gateway = { url: required(config.gatewayUrl, 'LOVABLE_API_KEY'), key: config.gatewayKey }
  const { run, agent, rates, cached, joined } = await begin(visit, userId, body, key, { p_owner: leases.owner })
  const backend = backendOf(visit, found)
  const url = addressOf(visit, backend, run.runId)
  if (joined) {
    const here = running.get(run.runId)
    return here ? follow(visit, here, body, url) : followElsewhere(visit, run, body, url)
  }
  const { messages, response_format: responseFormat } = body
  const assignment = {
    run,
    agent: agent!,
    messages,
    responseFormat,
    rates,
    cached,
    gateway,
    defaultModel: config.model,
    deadline,
    hasBackend: backend !== undefined
  }
  const here = new RunInPlace(assignment, database, leases)
  keep(visit, here)
  return follow(visit, here, body, url)
}

/** Begins a run for one credit, or joins the one that the key has begun, here or at the service. */
async function begin (
  { config, database, fields }: Visit, userId: string, body: ExecuteBody, key: string | null, where: Record<string, unknown>
): Promise<Begun> {
  const { agentId, messages } = body
  const begun = await database.call<Begun>('begin_run', {
    p_user_id: userId,
    p_agent_id: agentId,
    p_request_hash: await hashRequest(body),
    p_input: { messages, responseFormat: body.response_format },
    p_lease_seconds: LEASE_SECONDS,
    p_idempotency_key: key,
    p_agent: null,
    p_models: [config.model],
    ...where
  })
  fields.runId = begun.run.runId
  return begun
}

/** Whoever joins the run finds it, and should its client leave it is settled all the same. */
function keep ({ running }: Visit, run: RunInPlace): void {
  running.set(run.runId, run)
  keepAlive(run.outcome.finally(() => running.delete(run.runId)), run.runId)
}

async function follow (visit: Visit, here: RunInPlace, { stream = true }: ExecuteBody, url: string): Promise<Response> {
  const { runId } = here
  if (stream) return eventStream(streamInPlace(here, 0, `${url}/events`), runId)
  const outcome = await here.outcome
  if ('run' in outcome) return json(200, answerOf(outcome.run), { 'x-run-id': runId })
  return goesOn(await findRun(visit, runId), url)
}

/** The run has been begun before, and is not here. */
async function followElsewhere (visit: Visit, run: Run, body: ExecuteBody, url: string): Promise<Response> {
  const { runId } = run
  const find = () => findEnded(visit, runId)
  const ended = run.finishedAt ? await find() : undefined
  if (ended) return replay(ended, body)
  if (body.stream ?? true) return eventStream(streamWhenEnded(find, { runId, url: `${url}/events`, deadline: visit.deadline }), runId)
  const found = await pollUntil(visit.deadline, find)
  return found ? replay(found, body) : goesOn(await findRun(visit, runId), url)
}

/** A finished run's answer. Throws what it failed of where nothing streams. */
export function replay (ended: Ended, { stream = true }: ExecuteBody): Response {
  const { runId } = ended.run
  return stream ? eventStream(streamFinished(ended, 0), runId) : json(200, answerOf(ended.run), { 'x-run-id': runId })
}

/** The request ends and the run does not: 202 with the run as it stands, and where it is to be asked for. */
export function goesOn (run: Run, url: string): Response {
  return json(202, { ...run, url }, { 'x-run-id': run.runId, location: url })
}
