import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { errors, ServiceError, toServiceError } from '../errors.js'
import type { Run, RunEvent } from '../schemas.js'
import { runAgent } from './agent.js'
import { Progress, type AgentContext, type AgentInput, type StepSummary } from './agent-context.js'
import { firstSeq, type EventLog } from './event-log.js'
import { finalEvent } from './final-event.js'
import { runPythonAgent, type PythonContext } from './python-agent.js'
import type { Ticket } from './slots.js'
import type { StepRecord } from './step-record.js'
import { beginning, toTrace, type Trace } from './trace.js'

/** An attempt at a run, with what it takes to make it. */
export interface Assignment extends AgentInput {
  run: Run
  userId: string
  /** What was told of this attempt before it came here. */
  told?: readonly RunEvent[]
}

/** How a run ended here: for good, or to go on elsewhere, which this process has given up or lost it to. */
export type Ending = 'settled' | 'released' | 'lost'

/** How a run ended, to be settled. */
export interface Result {
  status: 'succeeded' | 'failed' | 'cancelled'
  response: string
  finishReason: string | null
  usage: Run['usage']
  credits: number
  model: string | null
  error: Run['error']
  /** Null: it could not be written down. */
  trace: Trace | null
}

/** What the executor asks of the database. All throw `stale_attempt` where another process has the run. */
export interface RunStore {
  start (runId: string, attempt: number): Promise<void>
  /** Writes down a step; false: the user's balance does not allow what the run may cost by the end of the next. */
  record (runId: string, attempt: number, step: RecordedStep): Promise<boolean>
  finish (runId: string, attempt: number, result: Result): Promise<Run>
}

export interface RecordedStep {
  number: number
  summary: StepSummary
  record: StepRecord
  credits: number
  /** The events since the step before, with the number of the first, for readers that have only the database. */
  told: { first: number, events: RunEvent[] }
}

export interface ExecutorOptions {
  gateway: AgentContext['gateway']
  python: PythonContext['python']
  events: EventLog
  store: RunStore
  log: Logger
  /** What an agent's functions can do. */
  openToolbox: AgentContext['openToolbox']
  defaultModel: string
  /** Tried in turn where an agent's model keeps failing. */
  fallbackModels: readonly string[]
  /** The clock; another one only for tests. */
  wait?: AgentContext['wait']
}

const wait: AgentContext['wait'] = (ms, signal) => delay(ms, undefined, { signal })

interface Life {
  readonly attempt: number
  readonly progress: Progress
  readonly abort: AbortController
  readonly ended: Promise<Ending>
}

/** Why an attempt is stopped from outside; the signal's reason. */
class Stop {
  /**
   * @param why `cancelled`: the caller wants the run to end. `released`: this process ends, and another goes on with
   * it. `lost`: another has taken it over already. After the latter two nothing is written here any more.
   */
  constructor (readonly why: 'cancelled' | 'released' | 'lost') {}
}

/** Runs runs: each attempt from its slot to its settlement, whoever is listening. */
export class Executor {
  #lives = new Map<string, Life>()
  #isReleased = false

  constructor (private readonly options: ExecutorOptions) {}

  /** How many runs are under way or waiting here. */
  get size (): number { return this.#lives.size }

  /** Takes a run on. Its events tell how it goes; resolves when it has ended here, and never rejects. */
  launch (assignment: Assignment, ticket: Ticket): Promise<Ending> {
    const { run: { runId, attempt }, told = [] } = assignment
    const present = this.#lives.get(runId)
    // The answer that began this attempt may have been so late that a later one is under way.
    if (this.#isReleased || (present && present.attempt > attempt)) {
      ticket.leave()
      return Promise.resolve(this.#isReleased ? 'released' : 'lost')
    }
    this.#stop(runId, 'lost')
    this.options.events.open(runId, attempt)
    for (const event of told) this.#emit(runId, event)
    const progress = new Progress()
    const abort = new AbortController()
    const ended = this.#live(assignment, ticket, progress, abort.signal).catch((err): Ending => {
      this.options.log.error({ err, runId }, '[AGENT-EXECUTOR] broke')
      return 'released'
    }).finally(() => {
      ticket.leave()
      if (this.#lives.get(runId) === life) this.#lives.delete(runId)
    })
    const life = { attempt, progress, abort, ended }
    this.#lives.set(runId, life)
    return ended
  }

  /** The attempts under way here, by run. */
  get attempts (): Map<string, number> {
    return new Map([...this.#lives].map(([runId, { attempt }]) => [runId, attempt]))
  }

  /** The text so far of a run that is under way here. */
  progressOf (runId: string): Progress | undefined {
    return this.#lives.get(runId)?.progress
  }

  /** Stops a run and waits until it is settled; false: it is not under way here. */
  async cancel (runId: string): Promise<boolean> {
    const life = this.#stop(runId, 'cancelled')
    await life?.ended
    return life !== undefined
  }

  /** Another process has the run: what was under way here ends without a word to the database. */
  lose (runId: string): void {
    this.#stop(runId, 'lost')
  }

  /** Waits for all runs to end, for so many milliseconds at the most. */
  async drain (ms: number): Promise<void> {
    const enough = new AbortController()
    const ended = Promise.all([...this.#lives.values()].map(life => life.ended))
    await Promise.race([ended, delay(ms, undefined, { signal: enough.signal }).catch(() => {})])
    enough.abort()
  }

  /** Stops what is under way, and takes nothing more on, for others to go on with; waits for so many milliseconds until all of it has stopped. */
  async release (ms: number): Promise<void> {
    this.#isReleased = true
    for (const runId of this.#lives.keys()) this.#stop(runId, 'released')
    await this.drain(ms)
  }

  #stop (runId: string, why: Stop['why']): Life | undefined {
    const life = this.#lives.get(runId)
    life?.abort.abort(new Stop(why))
    return life
  }

  async #live (assignment: Assignment, ticket: Ticket, progress: Progress, signal: AbortSignal): Promise<Ending> {
    const { run, userId } = assignment
    const log = this.options.log.child({ runId: run.runId, agentId: run.agentId, userId, attempt: run.attempt })
    const startedAt = performance.now()
    let failure: unknown
    try {
      await this.#awaitTurn(assignment.run, ticket, signal)
      await this.#work(assignment, progress, signal, log)
    } catch (error) {
      failure = signal.aborted ? signal.reason : error
    }
    // First of all: as long as it has its place the queue may tell of it.
    ticket.leave()
    if (failure instanceof Stop && failure.why !== 'cancelled') return this.#letGo(run, failure.why, log)
    return this.#settle(run, progress, failure, startedAt, log)
  }

  /** A run without a slot waits for it. */
  async #awaitTurn (run: Run, ticket: Ticket, signal: AbortSignal): Promise<void> {
    if (ticket.position === 0 && run.status === 'running') return
    await Promise.race([ticket.turn, new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })])
    await this.options.store.start(run.runId, run.attempt)
  }

  async #work (assignment: Assignment, progress: Progress, signal: AbortSignal, log: Logger): Promise<void> {
    signal.throwIfAborted()
    const { run: { runId, agentId, attempt }, agent, userId } = assignment
    const isPython = agent.executor === 'python'
    const runs = isPython ? { entrypoint: agent.entrypoint } : { model: agent.model ?? this.options.defaultModel }
    log.info(runs, '[AGENT-EXECUTOR] started')
    this.#begin(assignment.run)
    const { rates } = assignment
    const emit = (event: RunEvent) => this.#emit(runId, event)
    const tell = (message: string, fields: Record<string, unknown>) => log.info(fields, `[AGENT-EXECUTOR] ${message}`)
    if (isPython) return runPythonAgent(assignment, progress, { signal, rates, emit, log: tell, python: this.options.python, userId })
    const takeTold = this.#createTold(runId, attempt)
    return runAgent(assignment, progress, {
      signal,
      rates,
      emit,
      log: tell,
      gateway: this.options.gateway,
      defaultModel: this.options.defaultModel,
      fallbackModels: this.options.fallbackModels,
      tool: { runId, agentId, userId, signal },
      openToolbox: this.options.openToolbox,
      record: (number, summary, record, credits = 0) =>
        this.options.store.record(runId, attempt, { number, summary, record, credits, told: takeTold() }),
      wait: this.options.wait ?? wait
    })
  }

  async #settle (run: Run, progress: Progress, failure: unknown, startedAt: number, log: Logger): Promise<Ending> {
    const { runId, attempt } = run
    this.#takeBack(run)
    const result = resultOf(progress, failure, toTrace(this.options.events.entries(runId)))
    if (result.error?.code === 'internal_error') log.error({ err: failure }, '[AGENT-EXECUTOR] failed unexpectedly')
    try {
      const settled = await this.#finish(runId, attempt, result, log)
      this.#emit(runId, finalEvent(settled))
      log.info({
        status: settled.status,
        code: settled.error?.code,
        model: result.model,
        ...result.usage,
        creditsCharged: settled.creditsCharged,
        ms: Math.round(performance.now() - startedAt)
      }, '[AGENT-EXECUTOR] finished')
      return 'settled'
    } catch (error) {
      const isLost = error instanceof ServiceError && error.code === 'stale_attempt'
      if (!isLost) log.error({ err: error }, '[AGENT-EXECUTOR] not settled')
      // Unsettled it is still unfinished: whoever has it, or claims it, ends it.
      return this.#letGo(run, isLost ? 'lost' : 'released', log)
    }
  }

  /** Of an attempt that ended before it began, readers hear all the same that what the one before had said is no part of the run. */
  #takeBack (run: Run): void {
    if (run.attempt > 1 && !this.options.events.entries(run.runId).some(({ event }) => event.type === 'started')) this.#begin(run)
  }

  #begin ({ runId, agentId, attempt }: Run): void {
    for (const event of beginning(runId, agentId, attempt)) this.#emit(runId, event)
  }

  /** What cannot be written down, or is refused for good, ends the run all the same, or it would be made again and again. */
  async #finish (runId: string, attempt: number, result: Result, log: Logger): Promise<Run> {
    try {
      return await this.options.store.finish(runId, attempt, result)
    } catch (error) {
      if (error instanceof ServiceError && error.code !== 'internal_error') throw error
      log.error({ err: error }, '[AGENT-EXECUTOR] the result cannot be written down')
      const { code, message } = errors.internal()
      return this.options.store.finish(runId, attempt, { ...result, status: 'failed', usage: null, credits: 0, error: { code, message }, trace: null })
    }
  }

  /** Readers are sent to where the run goes on. */
  #letGo ({ runId, attempt }: Run, why: Exclude<Ending, 'settled'>, log: Logger): Ending {
    log.info(`[AGENT-EXECUTOR] ${why}`)
    // A later attempt may have begun here meanwhile: then the record is its own.
    if (this.#lives.get(runId)?.attempt === attempt) this.options.events.forget(runId)
    return why
  }

  /** Each time the events since the time before. */
  #createTold (runId: string, attempt: number): () => RecordedStep['told'] {
    let first = firstSeq(attempt)
    return () => {
      const events = this.options.events.entries(runId, first - 1).map(({ event }) => event)
      const told = { first, events }
      first += events.length
      return told
    }
  }

  #emit (runId: string, event: RunEvent): number {
    return this.options.events.append(runId, event).seq
  }
}

function resultOf (progress: Progress, failure: unknown, trace: Trace): Result {
  const { response, finishReason, usage, model, bill } = progress
  const error = failure === undefined || failure instanceof Stop ? null : toServiceError(failure)
  return {
    status: error ? 'failed' : failure instanceof Stop ? 'cancelled' : 'succeeded',
    response,
    finishReason,
    usage,
    // For our own faults nobody pays.
    credits: error?.code === 'internal_error' ? 0 : bill.credits,
    model,
    error: error && { code: error.code, message: error.message },
    trace
  }
}
