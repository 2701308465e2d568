import { setTimeout as delay } from 'node:timers/promises'
import type { Agent } from '#shared/agent.ts'
import type { StepRecord } from '#shared/database/runs.ts'
import { errors, ServiceError } from '#shared/errors.ts'
import { firstSeq } from '#shared/event-number.ts'
import { finalEvent } from '#shared/final-event.ts'
import type { Run, RunEvent } from '#shared/schemas.ts'
import type { RunSpans } from '#shared/traces/run-spans.ts'
import { beginning, toTrace } from '#shared/trace.ts'
import { Cancellation, type CancelSignal } from '../../lib/cancellation.js'
import { INPUT_COST } from '../../lib/memory/memory-budget.js'
import type { Hold } from '../../lib/memory/memory-share.js'
import type { SlotTicket } from '../../lib/slots.js'
import type { AgentContext, LogLevel, Reservation, StepSummary } from '../agent/agent-context.js'
import { runAgent } from '../agent/agent.js'
import { Progress } from '../agent/progress.js'
import { type PythonContext, runPythonAgent } from '../agent/python-agent.js'
import { sizeOf } from '../agent/step-record.js'
import type { ToolContext } from '../tools/tool.js'
import type { Toolbox } from '../tools/toolbox.js'
import type { AttemptDeps, AttemptOwner, Ending } from './attempt-deps.js'
import { type Assignment, type CompleteAssignment, hasInput, withFitAgent, withInput, withoutInput } from './assignment.js'
import type { RecordedStep, Result } from './run-store.js'
import { resultOf, settle, Stop } from './settlement.js'

const wait = (ms: number, signal: AbortSignal) => delay(ms, undefined, { signal })

/**
 * One attempt at a run, from its slot to its settlement, whoever is listening. It lasts as long as the answer, which may
 * be an hour; so that it takes little memory it is one object, and the agent's context too.
 */
export class Attempt implements AgentContext, PythonContext {
  readonly progress: Progress
  /** Resolves when the attempt has ended here; never rejects. */
  readonly ended: Promise<Ending>
  readonly #cancellation = new Cancellation()
  readonly #startedAt = performance.now()
  /** When the first attempt began, in milliseconds since 1970; undefined while the run waits for its first slot. */
  #firstStart?: number
  /** The number of the first event that no recorded step contains yet. */
  #unrecorded: number
  #tool?: ToolContext
  /** The memory of what the run's steps have gathered. */
  #gathered?: Hold
  spans?: RunSpans

  constructor (
    private assignment: Assignment,
    private readonly ticket: SlotTicket,
    private readonly deps: AttemptDeps,
    private readonly owner: AttemptOwner
  ) {
    this.progress = new Progress(deps.events, assignment.run.runId, this)
    this.#unrecorded = firstSeq(assignment.run.attempt)
    const { startedAt } = assignment.run
    if (startedAt) this.#firstStart = Date.parse(startedAt)
    this.ended = this.#run()
  }

  get runId (): string { return this.assignment.run.runId }
  get number (): number { return this.assignment.run.attempt }

  /** Stops the attempt from outside; the first reason counts. */
  stop (why: Exclude<Stop['why'], 'overdue'>): void {
    this.#cancellation.abort(new Stop(why))
  }

  /** Ends the run if it has lasted too long. @param now in milliseconds since 1970. */
  checkAge (now: number): void {
    const { maxRunSeconds } = this.deps
    if (now - (this.#firstStart ?? now) < maxRunSeconds * 1000) return
    this.#cancellation.abort(new Stop('overdue', errors.runTimeout(maxRunSeconds)))
  }

  get gateway (): AgentContext['gateway'] { return this.deps.gateway }
  get python (): PythonContext['python'] { return this.deps.python }
  get defaultModel (): string { return this.deps.defaultModel }
  get fallbackModels (): readonly string[] { return this.deps.fallbackModels }
  get figures (): AgentContext['figures'] { return this.owner.figures }
  get rates (): AgentContext['rates'] { return this.assignment.rates }
  get signal (): CancelSignal { return this.#cancellation }
  get trace (): AgentContext['trace'] { return this.spans?.context ?? this.assignment.traceContext }

  get tool (): ToolContext {
    const { run: { runId, agentId }, userId } = this.assignment
    this.#tool ??= { runId, agentId, userId, signal: this.#cancellation.abortSignal, trace: this.trace }
    return this.#tool
  }

  openToolbox (agent: Agent): Promise<Toolbox> {
    return this.deps.openToolbox(agent, this)
  }

  record (number: number, summary: StepSummary, record: StepRecord, credits = 0): Promise<Reservation> {
    this.#gathered ??= this.deps.memory.takeAnyway(this.assignment.userId, 0)
    this.#gathered.grow(sizeOf(record) * INPUT_COST)
    return this.deps.store.record(this.runId, this.number, { number, summary, record, credits, emitted: this.#takeUnrecorded() })
  }

  wait (ms: number): Promise<unknown> {
    return (this.deps.wait ?? wait)(ms, this.tool.signal)
  }

  onFirstOutput (): void {
    this.figures.noteFirstOutput(this.assignment.run, this.#seconds)
  }

  emit (event: RunEvent): number {
    // The event log is the later attempt's, if one has begun here: nothing that comes late is added to it.
    if (this.signal.aborted && !this.owner.isLatest(this)) return 0
    return this.deps.events.append(this.runId, event).seq
  }

  log (message: string, fields: Record<string, unknown> = {}, level: LogLevel = 'info'): void {
    this.deps.log[level](Object.assign(this.#logFields, fields), `[AGENT-EXECUTOR] ${message}`)
  }

  #logError (message: string, err: unknown): void {
    this.deps.log.error({ ...this.#logFields, err }, `[AGENT-EXECUTOR] ${message}`)
  }

  get #seconds (): number { return (performance.now() - this.#startedAt) / 1000 }

  /** The fields of every line. Others are assigned to this object: V8 defines fields after a spread one by one, at a microsecond each. */
  get #logFields () {
    const { run: { runId, agentId, attempt }, userId } = this.assignment
    return { runId, agentId, userId, attempt }
  }

  async #run (): Promise<Ending> {
    let failure: unknown
    try {
      await this.#awaitSlot()
      this.figures.noteStart(this.assignment.run, this.#seconds)
      await this.#runAgent(hasInput(this.assignment) ? this.assignment : await this.#readInput())
    } catch (error) {
      failure = this.signal.aborted ? this.signal.reason : error
    }
    return this.#end(failure)
  }

  async #awaitSlot (): Promise<void> {
    const { ticket, signal } = this
    if (ticket.position === 0 && this.assignment.run.status === 'running') return
    await Promise.race([ticket.turn, new Promise((_resolve, reject) => {
      signal.addEventListener('abort', { handleEvent: () => reject(signal.reason) })
    })])
    await this.deps.store.start(this.runId, this.number)
    this.#firstStart ??= Date.now()
  }

  async #readInput (): Promise<CompleteAssignment> {
    this.signal.throwIfAborted()
    const complete = withInput(this.assignment, await this.deps.store.readInput(this.runId, this.number))
    this.assignment = complete
    return complete
  }

  #runAgent (assignment: CompleteAssignment): Promise<void> {
    this.signal.throwIfAborted()
    const input = withFitAgent(assignment, columns => this.log('agent cut', { columns }))
    const { agent } = input
    this.spans = this.deps.tracer?.openRun(input)
    const isPython = agent.executor === 'python'
    this.log('started', isPython ? { entrypoint: agent.entrypoint } : { model: agent.model ?? this.defaultModel })
    this.#emitBeginning()
    return isPython ? runPythonAgent(input, this.progress, this) : runAgent(input, this.progress, this)
  }

  async #end (failure: unknown): Promise<Ending> {
    const { reason } = this.signal
    try {
      // Released first: with a place in the queue, positions could still be emitted.
      this.ticket.release()
      this.#releaseMemory()
      // A stopped attempt is not settled, even if the agent has ended meanwhile.
      if (reason instanceof Stop && (reason.why === 'released' || reason.why === 'lost')) return this.#abandon(reason.why)
      return await this.#settle(failure)
    } catch (error) {
      this.#logError('broke', error)
      return 'released'
    } finally {
      this.owner.onEnded(this)
    }
  }

  /** The settlement may have to wait for the database, and needs no input. */
  #releaseMemory (): void {
    this.assignment = withoutInput(this.assignment)
    this.#gathered?.release()
  }

  /** Settles the run, then emits its last event: readers never see an end that the database does not have. */
  async #settle (failure: unknown): Promise<Ending> {
    this.#emitMissingBeginning()
    const { events, store } = this.deps
    const result = resultOf(this.progress, failure, toTrace(events.entries(this.runId)))
    if (result.error?.code === errors.internal.code) this.#logError('failed unexpectedly', failure)
    try {
      const settled = await settle(store, this.runId, this.number, result, error => this.#logError('the result cannot be written down', error))
      this.emit(finalEvent(settled))
      const spans = this.spans ?? this.deps.tracer?.openRun(this.assignment)
      spans?.end(settled, result)
      this.figures.noteEnd(settled, this.assignment.kind)
      if (settled.userWaits) this.owner.onUserWaits(this.assignment.userId)
      this.#logEnd(settled, result)
      return 'settled'
    } catch (error) {
      const isLost = error instanceof ServiceError && error.code === 'stale_attempt'
      if (!isLost) this.#logError('not settled', error)
      // The run is still unfinished: the process that owns it, or claims it, ends it.
      return this.#abandon(isLost ? 'lost' : 'released')
    }
  }

  #logEnd ({ status, error, creditsCharged }: Run, { model, usage, error: failure }: Result): void {
    const reason = failure?.reason
    this.log('finished', Object.assign({ status, code: error?.code, reason, model, creditsCharged, ms: Math.round(this.#seconds * 1000) }, usage))
  }

  /** A later attempt that ends before it began rewinds all the same: what the attempt before emitted is no part of the run. */
  #emitMissingBeginning (): void {
    if (this.number > 1 && !this.deps.events.entries(this.runId).some(({ event }) => event.type === 'started')) this.#emitBeginning()
  }

  #emitBeginning (): void {
    for (const event of beginning(this.runId, this.assignment.run.agentId, this.number)) this.emit(event)
  }

  /** Leaves the run to another process; readers are sent on to it. */
  #abandon (why: Exclude<Ending, 'settled'>): Ending {
    this.log(why)
    const { events } = this.deps
    // If a later attempt has begun here, the events in the log are its own.
    if (!this.owner.isLatest(this)) return why
    if (why === 'released') events.leave(this.runId)
    else events.evict(this.runId)
    return why
  }

  /** The events since the last recorded step. */
  #takeUnrecorded (): RecordedStep['emitted'] {
    const first = this.#unrecorded
    const events = this.deps.events.entries(this.runId, first - 1).map(({ event }) => event)
    this.#unrecorded += events.length
    return { first, events }
  }
}
