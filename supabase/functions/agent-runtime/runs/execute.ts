import type { FoundAgent } from '../../_shared/database/functions.ts'
import { errors } from '../../_shared/errors.ts'
import type { Caller } from '../../_shared/http/caller.ts'
import type { ExecuteBody, ResponseFormat, Run } from '../../_shared/schemas.ts'
import { toStoredValue } from '../../_shared/text.ts'
import { restOf } from '../backend/ask.ts'
import { forward } from '../backend/forward.ts'
import { reasonOfMissing, required } from '../config.ts'
import { addressOf, backendOf, findEnded, findRun, isHeavy, noteWish, type RequestContext } from '../context.ts'
import { readBody } from '../http/body.ts'
import { findCaller } from '../http/caller.ts'
import { keepAlive } from '../http/log.ts'
import type { Frames } from '../streams/frame.ts'
import { pollUntil } from '../streams/poll.ts'
import { framesOfLocalRun, framesWhenEnded, type Rest } from '../streams/sources.ts'
import { tell } from '../streams/tell.ts'
import { answerAccepted, answerWhole, replay } from './answers.ts'
import { begin } from './begin.ts'
import { LocalRun } from './local-run.ts'

/** Runs an agent for the caller: a heavy one at its backend, any other one here. */
export async function execute (context: RequestContext): Promise<Response> {
  const { request, fields, database } = context
  const { caller, authorization } = await findCaller(context)
  fields.userId = caller.userId
  const key = readKey(request.headers)
  const body = await readBody(request)
  fields.agentId = body.agentId
  const agent = await database.call('get_agent', { p_user_id: caller.userId, p_agent_id: body.agentId, p_api_key_id: caller.apiKeyId })
  const withDeltas = { ...context, authorization, deltas: !isHeavy(agent) }
  return isForService(context, agent)
    ? executeRemotely(withDeltas, caller, agent, body, key)
    : executeHere(withDeltas, caller, agent, body, key)
}

/**
 * Heavy agents go to the service, and those of whose functions some do not run in place. Functions of unknown types may be
 * newer than this function; where there is no service they fail here, in a sentence.
 */
function isForService (context: RequestContext, agent: FoundAgent): boolean {
  const { needsService, requiresService = needsService } = agent
  return isHeavy(agent) || requiresService || (needsService && backendOf(context, agent) !== undefined && context.config.backendSecret !== undefined)
}

/** The Idempotency-Key. @throws {ServiceError} bad_request, if it is empty, too long or not printable ASCII. */
function readKey (headers: Headers): string | null {
  const key = headers.get('idempotency-key')
  if (key === null || /^[\x20-\x7e]{1,255}$/.test(key)) return key
  throw errors.badRequest('The Idempotency-Key header is 1 to 255 characters of printable ASCII.')
}

async function executeRemotely (context: RequestContext, caller: Caller, agent: FoundAgent, body: ExecuteBody, key: string | null): Promise<Response> {
  context.fields.where = 'backend'
  const backend = backendOf(context, agent)
  const secret = context.config.backendSecret
  noteWish(context, agent)
  if (!backend || !secret) {
    const failure = isHeavy(agent) ? errors.heavyNotConfigured() : errors.functionsUnavailable()
    throw failure.with({ reason: reasonOfMissing(backend ? 'RAILWAY_BACKEND_SECRET' : 'RAILWAY_BACKEND_URL', context.config.problems) })
  }
  const { run, joined } = await begin(context, caller, body, key, { p_owner: null, p_waiting: true, p_python: true })
  const ended = joined && run.finishedAt && await findEnded(context, run.runId)
  if (ended) return replay(context, ended, body)
  return forward(context, { userId: caller.userId, agent, run, joined, backend, secret, body, trace: context.trace?.context })
}

async function executeHere (context: RequestContext, caller: Caller, found: FoundAgent, body: ExecuteBody, key: string | null): Promise<Response> {
  context.fields.where = 'edge'
  const { config, database, leases, running, deadline } = context
  const gateway = { url: required(config.gatewayUrl, 'LOVABLE_API_KEY', config), key: config.gatewayKey }
  const begun = await begin(context, caller, body, key, { p_owner: leases.owner })
  const { run } = begun
  const backend = backendOf(context, found)
  if (begun.joined) {
    const local = running.get(run.runId)
    return local ? follow(context, caller, local, body, backend) : followRemote(context, caller, run, body, backend)
  }
  const assignment = {
    run,
    // Nothing was asked to be left out.
    agent: begun.agent!,
    messages: body.messages,
    // As the database returns it, so that the service sends the same if it takes the run over.
    responseFormat: toStoredValue(body.response_format) as ResponseFormat | undefined,
    rates: begun.rates,
    cached: begun.cached,
    gateway,
    defaultModel: config.model,
    deadline,
    maxRunMs: config.maxRunMs,
    tracer: context.tracer,
    traceContext: context.trace?.context,
    hasBackend: backend !== undefined,
    webhooks: { secret: config.webhookSecret, privateHosts: config.privateToolHosts, deadline }
  }
  const local = new LocalRun(assignment, database, leases)
  register(context, local)
  return follow(context, caller, local, body, backend)
}

/** Makes a run known to requests that join it, and keeps the isolate alive until the run is settled, even if its client leaves. */
function register ({ running }: RequestContext, run: LocalRun): void {
  running.set(run.runId, run)
  keepAlive(run.outcome.finally(() => running.delete(run.runId)), run.runId)
}

async function follow (context: RequestContext, caller: Caller, local: LocalRun, { stream = true }: ExecuteBody, backend: string | undefined): Promise<Response> {
  const { runId } = local
  if (stream) return tellRun(context, runId, backend, () => framesOfLocalRun(local, 0))
  const outcome = await local.outcome
  if ('run' in outcome) return answerWhole(outcome.run)
  return answerAccepted(await findRun(context, caller, runId), addressOf(context, backend, runId))
}

/** Answers with a run that was begun before and is not in this isolate. */
async function followRemote (context: RequestContext, caller: Caller, run: Run, body: ExecuteBody, backend: string | undefined): Promise<Response> {
  const { runId } = run
  const find = () => findEnded(context, runId)
  const ended = run.finishedAt ? await find() : undefined
  if (ended) return replay(context, ended, body)
  if (body.stream ?? true) return tellRun(context, runId, backend, (signal, rest) => framesWhenEnded(rest, signal))
  const found = await pollUntil(context.deadline, find)
  return found ? replay(context, found, body) : answerAccepted(await findRun(context, caller, runId), addressOf(context, backend, runId))
}

function tellRun (context: RequestContext, runId: string, backend: string | undefined, open: (signal: AbortSignal, rest: Rest) => Frames): Promise<Response> {
  const rest = restOf(context, backend, runId)
  return tell(signal => open(signal, rest), {
    runId,
    known: context.known,
    deltas: context.deltas,
    headMs: context.config.firstOutputMs,
    url: `${addressOf(context, backend, runId)}/events`,
    rest,
    deadline: context.deadline
  })
}
