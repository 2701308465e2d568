import { hash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Agent } from '#shared/agent.ts'
import type { BeginRun, Begun, FirstOwner } from '#shared/database/functions.ts'
import { errors } from '#shared/errors.ts'
import { firstSeq } from '#shared/event-number.ts'
import { isFinal } from '#shared/final-event.ts'
import { requestText } from '#shared/request-text.ts'
import type { FinalEvent, FunctionResult, Message, ResponseFormat, Run, RunStatus } from '#shared/schemas.ts'
import { responseOf } from '#shared/trace.ts'
import type { Database } from '../../database/port.js'
import { INLINE_INPUT } from '../../lib/memory-budget.js'
import type { EventLog } from '../events/event-log.js'
import { follow } from '../events/follow.js'
import { restore } from '../events/restore.js'
import type { Executor } from './executor.js'
import { LEASE_SECONDS } from './lease.js'
import type { Admission, RunQueue } from './queue.js'

/** What begins a run. */
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
   * A run that the edge function has begun, with a credit reserved, and that this service adopts. Its agent is the one
   * that was stored with it.
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

export interface RunsOptions {
  database: Pick<Database, 'call'>
  executor: Executor
  queue: RunQueue
  events: EventLog
  /** The models whose rates a run may need: the default one, and the fallbacks. */
  models: readonly string[]
  isDraining (): boolean
  /** Whether this process can run agents in Python. */
  hasPython (): Promise<boolean>
}

/** Seconds after which a slot or another process should be there. */
export const RETRY_AFTER = 5
/** How long another process may take to end a cancelled run: its heartbeat and its settlement. */
const CANCEL_POLL_MS = 250
const CANCEL_POLLS = 40
const FIRST_CANCEL_POLL_MS = 20

/** Runs as callers have them: begin one, look at it, follow it, cancel it. */
export class Runs {
  constructor (private readonly options: RunsOptions) {}

  /**
   * Begins a run, or adopts the one that is named, or joins the one that the idempotency key has begun. The run goes on
   * by itself; whoever wants to watch it follows its events.
   * @throws {ServiceError} agent_not_found, run_not_found, insufficient_credits, idempotency_key_reused, python_unavailable,
   * queue_full, shutting_down, database_unavailable.
   */
  async begin (request: RunRequest): Promise<Run> {
    if (this.options.isDraining()) throw errors.shuttingDown().with({ retryAfter: RETRY_AFTER })
    const { userId, messages, functionResults, responseFormat } = request
    const admission = await this.options.queue.admit(userId)
    if (!admission) throw errors.queueFull().with({ retryAfter: RETRY_AFTER })
    try {
      const { run, agent, rates, cached, joined, inputBytes } = await this.#beginOrAdopt(request, admission)
      if (joined) await this.#restoreEnded(run)
      else admission.accept({ run, userId, agent: agent ?? undefined, messages, functionResults, responseFormat, rates, cached, inputBytes })
      return run
    } finally {
      admission.release()
    }
  }

  /** A user's run as it stands, with the text so far. Throws `run_not_found`. */
  async get (userId: string, runId: string): Promise<Run> {
    return this.#withProgress(await this.#fetch(userId, runId))
  }

  /** A page of a user's runs, newest first. Throws `bad_request` for a cursor that is none. */
  async list ({ userId, limit, status, agentId, cursor }: RunFilter): Promise<RunPage> {
    const page = await this.options.database.call('list_runs', {
      p_user_id: userId,
      p_limit: limit,
      p_status: status ?? null,
      p_agent_id: agentId ?? null,
      p_after: cursor ?? null
    })
    return { runs: await Promise.all(page.runs.map(run => this.#withProgress(run))), nextCursor: page.next }
  }

  /** Makes sure that a user's run can be followed from event `after` on. Throws `run_not_found`, `bad_request`. */
  async resume (userId: string, runId: string, after: number): Promise<Run> {
    const { executor, events } = this.options
    const run = await this.#fetch(userId, runId)
    await this.#restoreEnded(run)
    // The last event of a remote run is not known here.
    const last = executor.progressOf(runId) || events.hasEnded(runId) ? events.last(runId) : undefined
    // The events of an earlier attempt are about to be evicted, and the reader's cursor may be of a later one.
    const isCurrent = last !== undefined && last >= firstSeq(run.attempt)
    if (isCurrent && after > last) throw errors.badRequest(`The run has no event ${after}: its last is ${last}.`)
    return run
  }

  /** Ends a run, and resolves to it once it has ended; a run that has ended already stays as it is. Throws `run_not_found`. */
  async cancel (userId: string, runId: string): Promise<Run> {
    const { database, executor, queue, isDraining } = this.options
    let run = await database.call('cancel_run', { p_user_id: userId, p_run_id: runId })
    // An attempt under way here stops at once, one elsewhere when its owner hears of it.
    if (await executor.cancel(runId)) return this.#fetch(userId, runId)
    if (!run.finishedAt) queue.cancel(runId)
    for (let polls = 0; !run.finishedAt && polls < CANCEL_POLLS && !isDraining(); polls++) {
      await delay(Math.min(CANCEL_POLL_MS, FIRST_CANCEL_POLL_MS * 2 ** polls))
      run = await this.#fetch(userId, runId)
    }
    await this.#restoreEnded(run)
    return run
  }

  /** A run's last event. Throws `shutting_down` where this process ends before the run does. */
  finalEvent (runId: string): Promise<FinalEvent> {
    const { events, isDraining } = this.options
    return new Promise((resolve, reject) => {
      const watch = () => follow(events, runId, 0, {
        write ({ event }) {
          if (isFinal(event)) resolve(event)
          return true
        },
        end () {},
        moved () {
          // While this process lives it learns of the run's end from the database.
          if (isDraining()) reject(errors.shuttingDown().with({ runId, retryAfter: RETRY_AFTER }))
          else watch()
        }
      })
      watch()
    })
  }

  async #beginOrAdopt (request: RunRequest, { owner, waits }: Admission): Promise<Begun> {
    const { database, hasPython } = this.options
    const { userId, runId } = request
    const ownership: FirstOwner = {
      p_owner: owner,
      p_lease_seconds: owner ? LEASE_SECONDS : 0,
      p_waiting: waits,
      // A run that begins without an owner goes to a process that can run Python.
      p_python: owner === null || await hasPython(),
      p_inline_bytes: INLINE_INPUT
    }
    if (runId) return database.call('adopt_run', { p_user_id: userId, p_run_id: runId, ...ownership })
    return database.call('begin_run', Object.assign(this.#argumentsOf(request), ownership))
  }

  #argumentsOf ({ userId, agentId, messages, functionResults, responseFormat, agent, idempotencyKey }: RunRequest): Omit<BeginRun, keyof FirstOwner> {
    return {
      p_user_id: userId,
      p_agent_id: agentId,
      p_request_hash: hash('sha256', requestText({ agentId, messages, functionResults, agent, responseFormat })),
      p_input: { messages, functionResults, responseFormat },
      p_idempotency_key: idempotencyKey ?? null,
      p_agent: agent ?? null,
      p_models: this.options.models
    }
  }

  /** A finished run whose end the log does not know comes back from the database, with the events it emitted. */
  async #restoreEnded (run: Run): Promise<void> {
    const { database, events } = this.options
    if (!run.finishedAt || events.hasEnded(run.runId)) return
    const [ended] = await database.call('get_ended_runs', { p_run_ids: [run.runId] })
    if (ended) restore(events, ended.run, ended.trace)
  }

  #fetch (userId: string, runId: string): Promise<Run> {
    return this.options.database.call('get_run', { p_user_id: userId, p_run_id: runId })
  }

  /** The database has a response only at the run's end; until then it comes from the attempt here, or from Redis. */
  async #withProgress (run: Run): Promise<Run> {
    const { executor, events } = this.options
    if (run.finishedAt) return run
    const progress = executor.progressOf(run.runId)
    if (progress) return { ...run, response: progress.response, usage: progress.usage }
    const emitted = await events.readLatest(run.runId).catch(() => [])
    return emitted.length > 0 ? { ...run, response: responseOf(emitted) } : run
  }
}
