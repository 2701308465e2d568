import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Agent } from '#shared/agent.ts'
import { errors, ServiceError, toServiceError } from '#shared/errors.ts'
import { firstSeq } from '#shared/event-number.ts'
import { finalEvent } from '#shared/final-event.ts'
import type { Run, RunEvent } from '#shared/schemas.ts'
import { beginning, toTrace, type Trace } from '#shared/trace.ts'
import { Cancellation, type CancelSignal } from '../../lib/cancellation.js'
import type { SlotTicket } from '../../lib/slots.js'
import type { AgentContext, AgentInput, StepSummary } from '../agent/agent-context.js'
import { runAgent } from '../agent/agent.js'
import { Progress } from '../agent/progress.js'
import { type PythonContext, runPythonAgent } from '../agent/python-agent.js'
import type { StepRecord } from '../agent/step-record.js'
import type { EventLog } from '../events/event-log.js'
import type { ToolContext } from '../tools/tool.js'
import type { Toolbox, ToolboxContext } from '../tools/toolbox.js'
import type { RecordedStep, Result, RunStore } from './run-store.js'

/** An attempt at a run, with what it takes to make it. */
export interface Assignment extends AgentInput {
  run: Run
  userId: string
  /** What was told of this attempt before it came here. */
  emitted?: readonly RunEvent[]
}

/** How a run ended here: for good, or to go on elsewhere, which this process has given up or lost it to. */
export type Ending = 'settled' | 'released' | 'lost'

/** What all attempts of a process share. */
export interface AttemptDeps {
  gateway: AgentContext['gateway']
  python: PythonContext['python']
  events: EventLog
  store: RunStore
  log: Logger
  /** What an agent's functions can do. */
  openToolbox (agent: Agent, context: ToolboxContext): Promise<Toolbox>
  defaultModel: string
  /** Tried in turn where an agent's model keeps failing. */
  fallbackModels: readonly string[]
  /** The clock; another one only for tests. */
  wait? (ms: number, signal: AbortSignal): Promise<unknown>
}

/** Who has made an attempt, and knows of the others. */
export interface AttemptOwner {
  /** Whether no later attempt at its run has begun here. */
  isLatest (attempt: Attempt): boolean
  onEnded (attempt: Attempt): void
}

/** Why an attempt is stopped from outside; the signal's reason. */
class Stop {
  /**
   * @param why `cancelled`: the caller wants the run to end. `released`: this process ends, and another goes on with
   * it. `lost`: another has taken it over already. After the latter two nothing is written here any more.
   */
  constructor (readonly why: 'cancelled' | 'released' | 'lost') {}
}

const wait = (ms: number, signal: AbortSignal) => delay(ms, undefined, { signal })

/**
 * One attempt at a run, from its slot to its settlement, whoever is listening. It lasts as long as the answer, which may
 * be an hour: so it is one object, and what the agent asks of the world are its methods.
 */
export class Attempt implements AgentContext, PythonContext {
  readonly progress: Progress
  /** Resolves when the attempt has ended here, and never rejects. */
  readonly ended: Promise<Ending>
  readonly #cancellation = new Cancellation()
  readonly #startedAt = performance.now()
  /** The number of the first event that was not recorded yet. */
  #unrecorded: number
  #tool?: ToolContext

  constructor (
    private readonly assignment: Assignment,
    private readonly ticket: SlotTicket,
    private readonly world: AttemptDeps,
    private readonly maker: AttemptOwner
  ) {
    this.progress = new Progress(world.events, assignment.run.runId)
    this.#unrecorded = firstSeq(assignment.run.attempt)
    this.ended = this.#live()
  }

  get runId (): string { return this.assignment.run.runId }
  get number (): number { return this.assignment.run.attempt }

  /** Ends it from outside; the first time counts. */
  stop (why: Stop['why']): void {
    this.#cancellation.abort(new Stop(why))
  }

  get gateway (): AgentContext['gateway'] { return this.world.gateway }
  get python (): PythonContext['python'] { return this.world.python }
  get defaultModel (): string { return this.world.defaultModel }
  get fallbackModels (): readonly string[] { return this.world.fallbackModels }
  get rates (): AgentContext['rates'] { return this.assignment.rates }
  get signal (): CancelSignal { return this.#cancellation }

  get tool (): ToolContext {
    const { run: { runId, agentId }, userId } = this.assignment
    this.#tool ??= { runId, agentId, userId, signal: this.#cancellation.abortSignal }
    return this.#tool
  }

  openToolbox (agent: Agent): Promise<Toolbox> {
    return this.world.openToolbox(agent, this)
  }

  record (number: number, summary: StepSummary, record: StepRecord, credits = 0): Promise<boolean> {
    return this.world.store.record(this.runId, this.number, { number, summary, record, credits, emitted: this.#takeUnrecorded() })
  }

  wait (ms: number): Promise<unknown> {
    return (this.world.wait ?? wait)(ms, this.tool.signal)
  }

  emit (event: RunEvent): number {
    // A later attempt has begun here: what is said late is no part of that, and is told nobody.
    if (this.signal.aborted && !this.maker.isLatest(this)) return 0
    return this.world.events.append(this.runId, event).seq
  }

  log (message: string, fields: Record<string, unknown> = {}): void {
    this.world.log.info(Object.assign(this.#names, fields), `[AGENT-EXECUTOR] ${message}`)
  }

  #complain (message: string, err: unknown): void {
    this.world.log.error({ ...this.#names, err }, `[AGENT-EXECUTOR] ${message}`)
  }

  /** What each of its lines bears. Other fields are assigned to it, not spread after it: V8 defines those one by one, at a microsecond each. */
  get #names () {
    const { run: { runId, agentId, attempt }, userId } = this.assignment
    return { runId, agentId, userId, attempt }
  }

  async #live (): Promise<Ending> {
    let failure: unknown
    try {
      await this.#awaitTurn()
      await this.#work()
    } catch (error) {
      failure = this.signal.aborted ? this.signal.reason : error
    }
    return this.#end(failure)
  }

  /** A run without a slot waits for it. */
  async #awaitTurn (): Promise<void> {
    const { ticket, signal } = this
    if (ticket.position === 0 && this.assignment.run.status === 'running') return
    await Promise.race([ticket.turn, new Promise((_resolve, reject) => {
      signal.addEventListener('abort', { handleEvent: () => reject(signal.reason) })
    })])
    await this.world.store.start(this.runId, this.number)
  }

  #work (): Promise<void> {
    this.signal.throwIfAborted()
    const { agent } = this.assignment
    const isPython = agent.executor === 'python'
    this.log('started', isPython ? { entrypoint: agent.entrypoint } : { model: agent.model ?? this.defaultModel })
    this.#begin()
    return isPython ? runPythonAgent(this.assignment, this.progress, this) : runAgent(this.assignment, this.progress, this)
  }

  async #end (failure: unknown): Promise<Ending> {
    const { reason } = this.signal
    try {
      // First of all: as long as it has its place the queue may tell of it.
      this.ticket.release()
      // Even where its work has come to an end meanwhile.
      if (reason instanceof Stop && reason.why !== 'cancelled') return this.#letGo(reason.why)
      return await this.#settle(failure)
    } catch (error) {
      this.#complain('broke', error)
      return 'released'
    } finally {
      this.maker.onEnded(this)
    }
  }

  async #settle (failure: unknown): Promise<Ending> {
    this.#takeBack()
    const result = resultOf(this.progress, failure, toTrace(this.world.events.entries(this.runId)))
    if (result.error?.code === 'internal_error') this.#complain('failed unexpectedly', failure)
    try {
      const settled = await this.#finish(result)
      this.emit(finalEvent(settled))
      this.log('finished', Object.assign({
        status: settled.status,
        code: settled.error?.code,
        model: result.model,
        creditsCharged: settled.creditsCharged,
        ms: Math.round(performance.now() - this.#startedAt)
      }, result.usage))
      return 'settled'
    } catch (error) {
      const isLost = error instanceof ServiceError && error.code === 'stale_attempt'
      if (!isLost) this.#complain('not settled', error)
      // Unsettled it is still unfinished: whoever has it, or claims it, ends it.
      return this.#letGo(isLost ? 'lost' : 'released')
    }
  }

  /** Of an attempt that ended before it began, readers hear all the same that what the one before had said is no part of the run. */
  #takeBack (): void {
    if (this.number > 1 && !this.world.events.entries(this.runId).some(({ event }) => event.type === 'started')) this.#begin()
  }

  #begin (): void {
    for (const event of beginning(this.runId, this.assignment.run.agentId, this.number)) this.emit(event)
  }

  /** What cannot be written down, or is refused for good, ends the run all the same, or it would be made again and again. */
  async #finish (result: Result): Promise<Run> {
    const { store } = this.world
    try {
      return await store.finish(this.runId, this.number, result)
    } catch (error) {
      if (error instanceof ServiceError && error.code !== 'internal_error') throw error
      this.#complain('the result cannot be written down', error)
      const { code, message } = errors.internal()
      return store.finish(this.runId, this.number, { ...result, status: 'failed', usage: null, credits: 0, error: { code, message }, trace: null })
    }
  }

  /** Readers are sent to where the run goes on. */
  #letGo (why: Exclude<Ending, 'settled'>): Ending {
    this.log(why)
    // A later attempt may have begun here meanwhile: then the record is its own.
    if (this.maker.isLatest(this)) this.world.events.evict(this.runId)
    return why
  }

  /** Each time the events since the time before. */
  #takeUnrecorded (): RecordedStep['emitted'] {
    const first = this.#unrecorded
    const events = this.world.events.entries(this.runId, first - 1).map(({ event }) => event)
    this.#unrecorded += events.length
    return { first, events }
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
