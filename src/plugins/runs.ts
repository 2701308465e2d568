import { hash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Agent, CachedAnswer } from '#shared/agent.ts'
import { errors } from '#shared/errors.ts'
import { firstSeq } from '#shared/event-number.ts'
import { isFinal } from '#shared/final-event.ts'
import type { Rates } from '#shared/price.ts'
import { requestText } from '#shared/request-text.ts'
import type { FinalEvent, FunctionResult, Message, ResponseFormat, Run, RunStatus } from '#shared/schemas.ts'
import { responseOf, type Trace } from '#shared/trace.ts'
import { follow } from '../executor/events/event-log.js'
import { restore } from '../executor/events/restore.js'
import { LEASE_SECONDS } from '../executor/run/lease.js'
import type { Admission } from '../executor/run/queue.js'

/** What it takes to begin a run. */
export interface RunRequest {
  userId: string
  agentId: string
  messages: Message[]
  functionResults?: FunctionResult[]
  responseFormat?: ResponseFormat
  /** The agent's configuration where the caller vouches for user, agent and credits; such a run is not charged. */
  agent?: Agent
  idempotencyKey?: string
  /**
   * A run that the edge function has begun, with a credit reserved, for a service to take on. Its agent is the one that
   * was stored with it.
   */
  runId?: string
}

export interface RunFilter {
  userId: string
  limit: number
  status?: RunStatus
  agentId?: string
  /** `nextCursor` of the page before. */
  cursor?: string
}

export interface RunPage { runs: Run[], nextCursor: string | null }

declare module 'fastify' {
  interface FastifyInstance {
    runs: {
      /**
       * Begins a run, or takes on the one that is named, or joins the one that the idempotency key has begun. The run
       * goes on by itself; who wants to watch follows its events.
       * @throws {ServiceError} agent_not_found, run_not_found, insufficient_credits, idempotency_key_reused, python_unavailable,
       * queue_full, shutting_down, database_unavailable.
       */
      begin (request: RunRequest): Promise<Run>
      /** A user's run as it stands, with the text so far. Throws `run_not_found`. */
      get (userId: string, runId: string): Promise<Run>
      /** A page of a user's runs, newest first. Throws `bad_request` for a cursor that is none. */
      list (filter: RunFilter): Promise<RunPage>
      /** Makes sure that a user's run can be followed from event `after` on. Throws `run_not_found`, `bad_request`. */
      resume (userId: string, runId: string, after: number): Promise<Run>
      /** Ends a run, and answers with it once it has ended; one that has ended already stays as it is. Throws `run_not_found`. */
      cancel (userId: string, runId: string): Promise<Run>
      /** A run's last event. Throws `shutting_down` where this process ends before the run does. */
      finalEvent (runId: string): Promise<FinalEvent>
    }
  }
}

/** Seconds; by then a slot or another process should be there. */
const RETRY_AFTER = 5
/** How long another process may take to end a run that was cancelled: its heartbeat and its settlement. */
const CANCEL_POLL_MS = 250
const CANCEL_POLLS = 40
const FIRST_CANCEL_POLL_MS = 20

interface Begun { run: Run, agent: Agent, rates?: Rates, cached?: CachedAnswer | null, joined: boolean }

async function runs (app: FastifyInstance): Promise<void> {
  const { database, executor, queue, events, config } = app
  app.decorate('runs', { begin, get, list, resume, cancel, finalEvent })

  async function begin (request: RunRequest): Promise<Run> {
    if (app.isDraining()) throw errors.shuttingDown().with({ retryAfter: RETRY_AFTER })
    const { userId, messages, functionResults, responseFormat } = request
    const place = await queue.admit(userId)
    if (!place) throw errors.queueFull().with({ retryAfter: RETRY_AFTER })
    try {
      const { run, agent, rates, cached, joined } = await beginOrAdopt(request, place)
      if (joined) await bringBack(run)
      else place.accept({ run, userId, agent, messages, functionResults, responseFormat, rates, cached })
      return run
    } finally {
      place.release()
    }
  }

  async function beginOrAdopt (request: RunRequest, { owner, waits }: Admission): Promise<Begun> {
    const { userId, runId } = request
    const place = {
      p_owner: owner,
      p_lease_seconds: owner ? LEASE_SECONDS : 0,
      p_waiting: waits,
      // What begins without an owner goes to a process that can.
      p_python: owner === null || await app.python.isAvailable()
    }
    if (runId) return database.call<Begun>('adopt_run', { p_user_id: userId, p_run_id: runId, ...place })
    return database.call<Begun>('begin_run', Object.assign(toArguments(request), place))
  }

  function toArguments ({ userId, agentId, messages, functionResults, responseFormat, agent, idempotencyKey }: RunRequest) {
    return {
      p_user_id: userId,
      p_agent_id: agentId,
      p_request_hash: hash('sha256', requestText({ agentId, messages, functionResults, agent, responseFormat })),
      p_input: { messages, functionResults, responseFormat },
      p_idempotency_key: idempotencyKey ?? null,
      p_agent: agent ?? null,
      p_models: [config.model, ...config.fallbackModels]
    }
  }

  /** A finished run whose end the log does not know comes back from the database, as it was told. */
  async function bringBack (run: Run): Promise<void> {
    if (!run.finishedAt || events.hasEnded(run.runId)) return
    const [ended] = await database.call<Array<{ run: Run, trace: Trace | null }>>('get_ended_runs', { p_run_ids: [run.runId] })
    if (ended) restore(events, ended.run, ended.trace)
  }

  async function get (userId: string, runId: string): Promise<Run> {
    return withProgress(await fetch(userId, runId))
  }

  function fetch (userId: string, runId: string): Promise<Run> {
    return database.call<Run>('get_run', { p_user_id: userId, p_run_id: runId })
  }

  async function list ({ userId, limit, status, agentId, cursor }: RunFilter): Promise<RunPage> {
    const page = await database.call<{ runs: Run[], next: string | null }>('list_runs', {
      p_user_id: userId,
      p_limit: limit,
      p_status: status ?? null,
      p_agent_id: agentId ?? null,
      p_after: cursor ?? null
    })
    return { runs: await Promise.all(page.runs.map(withProgress)), nextCursor: page.next }
  }

  /** What was said so far stands in the database only at the end; elsewhere it was told by Redis, if at all. */
  async function withProgress (run: Run): Promise<Run> {
    if (run.finishedAt) return run
    const progress = executor.progressOf(run.runId)
    if (progress) return { ...run, response: progress.response, usage: progress.usage }
    const told = await events.readLatest(run.runId).catch(() => [])
    return told.length > 0 ? { ...run, response: responseOf(told) } : run
  }

  async function resume (userId: string, runId: string, after: number): Promise<Run> {
    const run = await fetch(userId, runId)
    await bringBack(run)
    // Of a run that is made elsewhere it is not known here what it has told.
    const last = executor.progressOf(runId) || events.hasEnded(runId) ? events.last(runId) : undefined
    // A record of an earlier attempt is about to go: what the reader has may be of a later one.
    const isCurrent = last !== undefined && last >= firstSeq(run.attempt)
    if (isCurrent && after > last) throw errors.badRequest(`The run has no event ${after}: its last is ${last}.`)
    return run
  }

  async function cancel (userId: string, runId: string): Promise<Run> {
    let run = await database.call<Run>('cancel_run', { p_user_id: userId, p_run_id: runId })
    // Where it is under way here it is stopped at once, and elsewhere when its owner hears of it.
    if (await executor.cancel(runId)) return fetch(userId, runId)
    if (!run.finishedAt) queue.cancel(runId)
    for (let polls = 0; !run.finishedAt && polls < CANCEL_POLLS && !app.isDraining(); polls++) {
      await delay(Math.min(CANCEL_POLL_MS, FIRST_CANCEL_POLL_MS * 2 ** polls))
      run = await fetch(userId, runId)
    }
    await bringBack(run)
    return run
  }

  function finalEvent (runId: string): Promise<FinalEvent> {
    return new Promise((resolve, reject) => {
      const watch = () => follow(events, runId, 0, {
        write ({ event }) {
          if (isFinal(event)) resolve(event)
          return true
        },
        end () {},
        moved () {
          // Where this process lives on it hears of the run's end from the database.
          if (app.isDraining()) reject(errors.shuttingDown().with({ runId, retryAfter: RETRY_AFTER }))
          else watch()
        }
      })
      watch()
    })
  }
}

export default fp(runs, { name: 'runs', dependencies: ['database', 'redis', 'events', 'executor', 'queue', 'python'] })
