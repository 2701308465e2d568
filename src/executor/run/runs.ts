import { setTimeout as delay } from 'node:timers/promises'
import type { Begun } from '#shared/database/functions.ts'
import { errors } from '#shared/errors.ts'
import { firstSeq } from '#shared/event-number.ts'
import { isFinal } from '#shared/final-event.ts'
import { accessArguments, type RunAccess } from '#shared/http/caller.ts'
import type { FinalEvent, ListedRun, Run, RunStatus } from '#shared/schemas.ts'
import { countCharacters, firstCharacters } from '../../lib/characters.js'
import { Slots } from '../../lib/slots.js'
import type { EventLog } from '../events/event-log.js'
import { follow } from '../events/follow.js'
import { restore } from '../events/restore.js'
import { type BeginOptions, RunBegin, type RunRequest } from './begin-run.js'
import type { Executor } from './executor.js'
import type { Admission, RunQueue } from './queue.js'

export interface RunFilter {
  userId: string
  limit: number
  status?: RunStatus
  agentId?: string
  /** `nextCursor` of the page before. */
  cursor?: string
}

/** The headers by which a request says that it is the same as another. */
export interface RepeatableHeaders { 'idempotency-key'?: string, 'x-stainless-retry-count'?: number }

export interface RunPage { runs: ListedRun[], nextCursor: string | null }

export interface RunsOptions extends BeginOptions {
  executor: Executor
  queue: RunQueue
  events: EventLog
}

/** Seconds after which a slot or another process should be there. */
export const RETRY_AFTER = 5
/** How many characters of a response lists have. */
const LISTED_CHARACTERS = 500
/**
 * How many runs of one user begin at once here. Beginnings share transactions, and one of an agent of many megabytes takes a
 * tenth of a second.
 */
const BEGINS_OF_USER = 4
/** How long another process may take to end a cancelled run: its heartbeat and its settlement. */
const CANCEL_POLL_MS = 250
const CANCEL_POLLS = 40
const FIRST_CANCEL_POLL_MS = 20

/** Runs as callers have them: begin one, look at it, follow it, cancel it. */
export class Runs {
  /** How often somebody began to read a run that had begun before, be it after a cut or a reload. */
  resumes = 0
  readonly #begins = new Slots({ maxConcurrent: Infinity, maxPerUser: BEGINS_OF_USER, maxWaiting: Infinity })

  constructor (private readonly options: RunsOptions) {}

  /**
   * Begins a run, or adopts the one that is named, or joins the one that the idempotency key has begun. The run goes on
   * by itself; whoever wants to watch it follows its events.
   * @throws {ServiceError} bad_request, agent_not_found, run_not_found, insufficient_credits, key_budget_exhausted, idempotency_key_reused,
   * python_unavailable, queue_full, shutting_down, database_unavailable.
   */
  async begin (request: RunRequest): Promise<Run> {
    const ticket = this.#begins.acquireOrWait(request.userId)
    await ticket.turn
    try {
      return await this.#begin(request)
    } finally {
      ticket.release()
    }
  }

  async #begin (request: RunRequest): Promise<Run> {
    if (this.options.isDraining()) throw errors.shuttingDown().with({ retryAfter: RETRY_AFTER })
    const { expected } = this.options.executor
    const begin = new RunBegin(request, this.options)
    expected.add(begin.runId)
    try {
      // What cannot begin here at once waits in the queue, where all of it begins.
      return (await this.#beginAdmitted(begin, request.userId, false) ?? await this.#beginAdmitted(begin, request.userId, true))!
    } finally {
      expected.delete(begin.runId)
    }
  }

  /** Begins a run; undefined if it has to wait. */
  async #beginAdmitted (begin: RunBegin, userId: string, hasToWait: boolean): Promise<Run | undefined> {
    const admission = await this.options.queue.admit(userId, hasToWait)
    if (!admission) throw errors.queueFull().with({ retryAfter: RETRY_AFTER })
    try {
      const begun = await begin.make(admission)
      if (begun) await this.#accept(begun, begin, userId, admission)
      return begun?.run
    } finally {
      admission.release()
    }
  }

  /**
   * Begins a run as a package of OpenAI asks for it, or joins the one that the same request has begun before, or that its
   * repetition has. A client that gives keys says by them which request is which; the others count how often they have sent one.
   * @param elapsedMs how long ago the request arrived.
   */
  beginOrRepeat (request: RunRequest, { 'idempotency-key': idempotencyKey, 'x-stainless-retry-count': retries = 0 }: RepeatableHeaders, elapsedMs: number): Promise<Run> {
    if (idempotencyKey !== undefined) return this.begin({ ...request, idempotencyKey })
    return this.begin({ ...request, repetition: { isRepeated: retries > 0, arrivedAt: performance.now() - elapsedMs } })
  }

  /** A run as it stands, with the text so far. Throws `run_not_found`. */
  async get (access: RunAccess, runId: string): Promise<Run> {
    return this.#withProgress(await this.#fetch(access, runId))
  }

  /** The finished steps of a run, the first 500. Throws `run_not_found`. */
  async steps (access: RunAccess, runId: string) {
    return (await this.options.database.call('list_steps', { p_run_id: runId, ...accessArguments(access) })).steps
  }

  /** A page of a user's runs, newest first, with the beginnings of their responses. Throws `bad_request` for a cursor that is none. */
  async list ({ userId, limit, status, agentId, cursor }: RunFilter): Promise<RunPage> {
    const page = await this.options.database.call('list_runs', {
      p_user_id: userId,
      p_limit: limit,
      p_status: status ?? null,
      p_agent_id: agentId ?? null,
      p_after: cursor ?? null
    })
    return { runs: await Promise.all(page.runs.map(run => this.#withBeginning(run))), nextCursor: page.next }
  }

  /** Makes sure that a run can be followed from event `after` on, by the id that it comes back with. Throws `run_not_found`, `bad_request`. */
  async resume (access: RunAccess, runId: string, after: number): Promise<Run> {
    this.resumes++
    const { executor, events, queue } = this.options
    const run = await this.#fetch(access, runId)
    await this.#restoreEnded(run)
    if (run.status === 'queued') queue.watchPlace(run.runId)
    // The last event of a remote run is not known here.
    const last = executor.progressOf(run.runId) || events.hasEnded(run.runId) ? events.last(run.runId) : undefined
    // The events of an earlier attempt are about to be evicted, and the reader's cursor may be of a later one.
    const isCurrent = last !== undefined && last >= firstSeq(run.attempt)
    if (isCurrent && after > last) throw errors.badRequest(`The run has no event ${after}: its last is ${last}.`)
    return run
  }

  /** Whether a run has ended, and event `after` is its last: there is nothing more to be told. For runs that can be followed. */
  hasAll (runId: string, after: number): boolean {
    const { events } = this.options
    return events.hasEnded(runId) && after >= events.last(runId)!
  }

  /** Ends a run, and resolves to it once it has ended; a run that has ended already stays as it is. Throws `run_not_found`. */
  async cancel (access: RunAccess, runId: string): Promise<Run> {
    const { database, executor, queue, isDraining } = this.options
    let run = await database.call('cancel_run', { p_run_id: runId, ...accessArguments(access) })
    // An attempt under way here stops at once, one elsewhere when its owner hears of it.
    if (await executor.cancel(run.runId)) return this.#fetch(access, runId)
    if (!run.finishedAt) queue.cancel(run.runId)
    for (let polls = 0; !run.finishedAt && polls < CANCEL_POLLS && !isDraining(); polls++) {
      await delay(Math.min(CANCEL_POLL_MS, FIRST_CANCEL_POLL_MS * 2 ** polls))
      run = await this.#fetch(access, runId)
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

  async #accept (begun: Begun, begin: RunBegin, userId: string, admission: Admission): Promise<void> {
    const { messages, functionResults, responseFormat, kind, traceContext } = begin
    const { run, agent, rates, cached, joined, inputBytes } = begun
    // Of two calls that adopt the same run, both repeated, the first has launched it.
    if (joined || this.options.executor.progressOf(run.runId)) return this.#restoreEnded(run)
    begin.noteBegun()
    admission.accept({ run, userId, kind, traceContext, agent: agent ?? undefined, messages, functionResults, responseFormat, rates, cached, inputBytes })
  }

  /** A finished run whose end the log does not know comes back from the database, with the events it emitted. */
  async #restoreEnded (run: Run): Promise<void> {
    const { database, events } = this.options
    if (!run.finishedAt || events.hasEnded(run.runId)) return
    const [ended] = await database.call('get_ended_runs', { p_run_ids: [run.runId] })
    if (ended) restore(events, ended.run, ended.trace)
  }

  #fetch (access: RunAccess, runId: string): Promise<Run> {
    return this.options.database.call('get_run', { p_run_id: runId, ...accessArguments(access) })
  }

  /** The database has a response only at the run's end; until then it comes from the attempt here, or from the process that makes it. */
  async #withProgress (run: Run): Promise<Run> {
    const { executor, events } = this.options
    if (run.finishedAt) return run
    const progress = executor.progressOf(run.runId)
    if (progress) return { ...run, response: progress.response, usage: progress.usage }
    const response = await events.readText(run.runId).catch(() => '')
    return response ? { ...run, response } : run
  }

  /** The same of a list, whose runs have the first 500 characters. */
  async #withBeginning (run: ListedRun): Promise<ListedRun> {
    const { executor, events } = this.options
    if (run.finishedAt) return run
    const progress = executor.progressOf(run.runId)
    if (!progress) {
      const response = await events.readText(run.runId, LISTED_CHARACTERS).catch(() => '')
      return { ...run, response, responseLength: null }
    }
    const { response, usage } = progress
    return { ...run, response: firstCharacters(response, LISTED_CHARACTERS), responseLength: countCharacters(response), usage }
  }
}
