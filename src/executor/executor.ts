import type { Logger } from 'pino'
import { errors, toServiceError, type ServiceError } from '../errors.js'
import type { Run, RunEvent } from '../schemas.js'
import { Progress, runAgent, type AgentInput } from './agent.js'
import type { EventLog } from './event-log.js'
import { errorEvent, finalEvent } from './final-event.js'
import type { Gateway } from './gateway.js'
import { priceOf } from './price.js'
import type { Ticket } from './queue.js'

/** A run that has begun, and what it needs to go on. */
export interface Assignment extends AgentInput {
  run: Run
  userId: string
  ticket: Ticket
}

/** How a run ended, to be settled. */
export interface Result {
  status: 'succeeded' | 'failed' | 'cancelled'
  response: string
  finishReason: string | null
  usage: Run['usage']
  credits: number
  model: string | null
  error: Run['error']
}

/** What the executor asks of the database. */
export interface RunStore {
  start (runId: string, attempt: number): Promise<void>
  finish (runId: string, attempt: number, result: Result): Promise<Run>
}

export interface ExecutorOptions {
  gateway: Gateway
  events: EventLog
  store: RunStore
  log: Logger
}

interface Life {
  readonly progress: Progress
  readonly abort: AbortController
  readonly ended: Promise<void>
}

/** Why a run is stopped from outside; the signal's reason. */
class Stop {
  constructor (readonly why: 'cancelled' | 'interrupted') {}
}

/** Runs runs: each from its slot to its settlement, whoever is listening. */
export class Executor {
  #lives = new Map<string, Life>()

  constructor (private readonly options: ExecutorOptions) {}

  /** How many runs are under way or waiting. */
  get size (): number { return this.#lives.size }

  /** Takes a run on. Its events tell how it goes; nothing is thrown. */
  launch (assignment: Assignment): void {
    const progress = new Progress()
    const abort = new AbortController()
    const { runId } = assignment.run
    const ended = this.#live(assignment, progress, abort.signal).finally(() => {
      assignment.ticket.leave()
      this.#lives.delete(runId)
    })
    this.#lives.set(runId, { progress, abort, ended })
  }

  /** The text so far of a run that is under way here. */
  progressOf (runId: string): Progress | undefined {
    return this.#lives.get(runId)?.progress
  }

  /** Stops a run and waits until it is settled; false: it is not under way here. */
  async cancel (runId: string): Promise<boolean> {
    return this.#stop(runId, 'cancelled')
  }

  /** Waits for all runs for so many milliseconds, then ends those that are left. */
  async drain (ms: number): Promise<void> {
    const all = () => [...this.#lives.values()].map(life => life.ended)
    let timer
    await Promise.race([Promise.all(all()), new Promise(resolve => { timer = setTimeout(resolve, ms) })])
    clearTimeout(timer)
    await Promise.all([...this.#lives.keys()].map(runId => this.#stop(runId, 'interrupted')))
  }

  async #stop (runId: string, why: Stop['why']): Promise<boolean> {
    const life = this.#lives.get(runId)
    life?.abort.abort(new Stop(why))
    await life?.ended
    return life !== undefined
  }

  async #live (assignment: Assignment, progress: Progress, signal: AbortSignal): Promise<void> {
    const { run, userId, agent } = assignment
    const log = this.options.log.child({ runId: run.runId, agentId: run.agentId, userId })
    const startedAt = performance.now()
    let failure: unknown
    try {
      await this.#awaitTurn(assignment, signal)
      log.info({ model: agent.model ?? null, attempt: run.attempt }, '[AGENT-EXECUTOR] started')
      this.#emit(run, { type: 'started', runId: run.runId, agentId: run.agentId, attempt: run.attempt })
      await runAgent(assignment, progress, {
        gateway: this.options.gateway,
        signal,
        emit: event => this.#emit(run, event),
        log: (message, fields) => log.info(fields, `[AGENT-EXECUTOR] ${message}`)
      })
    } catch (error) {
      failure = signal.aborted ? signal.reason : error
    }
    const result = resultOf(progress, failure, run.creditsReserved)
    if (result.error?.code === 'internal_error') log.error({ err: failure }, '[AGENT-EXECUTOR] failed unexpectedly')
    await this.#settle(run, result, startedAt, log)
  }

  /** A run without a slot tells its place, and waits. */
  async #awaitTurn ({ run, ticket }: Assignment, signal: AbortSignal): Promise<void> {
    if (run.status !== 'queued') return
    await Promise.race([ticket.turn, new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })])
    await this.options.store.start(run.runId, run.attempt)
  }

  async #settle (run: Run, result: Result, startedAt: number, log: Logger): Promise<void> {
    try {
      const settled = await this.options.store.finish(run.runId, run.attempt, result)
      this.#emit(run, finalEvent(settled))
      log.info({
        status: settled.status,
        code: settled.error?.code,
        model: result.model,
        ...result.usage,
        creditsCharged: settled.creditsCharged,
        ms: Math.round(performance.now() - startedAt)
      }, '[AGENT-EXECUTOR] finished')
    } catch (error) {
      // The reservation stays as it is: what was not settled was not charged.
      log.error({ err: error }, '[AGENT-EXECUTOR] not settled')
      this.#emit(run, errorEvent(run.runId, toServiceError(error)))
    }
  }

  #emit (run: Run, event: RunEvent): number {
    return this.options.events.append(run.runId, event).seq
  }
}

function resultOf (progress: Progress, failure: unknown, reserved: number): Result {
  const { response, finishReason, usage, model, output } = progress
  const credits = priceOf({ reserved, output })
  const common = { response, finishReason, usage, model }
  if (failure === undefined) return { ...common, status: 'succeeded', credits: reserved, error: null }
  if (failure instanceof Stop && failure.why === 'cancelled') {
    return { ...common, status: 'cancelled', credits, error: null }
  }
  const { code, message } = errorOf(failure)
  // What this service broke off itself, nobody pays for.
  const price = failure instanceof Stop || code === 'internal_error' ? 0 : credits
  return { ...common, status: 'failed', credits: price, error: { code, message } }
}

function errorOf (failure: unknown): ServiceError {
  return failure instanceof Stop ? errors.interrupted() : toServiceError(failure)
}
