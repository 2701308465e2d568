import type { Message, ResponseFormat } from '../http/body.ts'
import type { Database } from '../database.ts'
import { EdgeError, errors, toEdgeError } from '../errors.ts'
import { complete, type ModelRequest } from '../gateway/gateway.ts'
import type { Completion } from '../gateway/answer-reader.ts'
import type { Leases, Stop } from './leases.ts'
import { describe, log } from '../http/log.ts'
import { priceOf, type Rates } from '../price.ts'
import { buildMessages, type Agent } from '../prompt.ts'
import { beginning, finalEvent, toTrace, type Run, type RunEvent } from '../run.ts'
import { measureUsage, NO_USAGE } from '../usage.ts'

export interface Assignment {
  run: Run
  agent: Agent
  messages: Message[]
  responseFormat?: ResponseFormat
  rates?: Rates
  cached?: CachedAnswer | null
  gateway: { url: string, key?: string }
  defaultModel: string
  /** When this request has to be over, in milliseconds since 1970. */
  deadline: number
  /** Whether there is a service that would take the run over. */
  hasBackend: boolean
}

/** An answer that this agent gave to the same question before. */
export interface CachedAnswer { response: string, finishReason: string | null, model: string | null }

/** How it ended here: with the run as it was settled, or not, for it goes on elsewhere. */
export type Outcome = { run: Run } | { goesOn: true }

const DEFAULT_TEMPERATURE = 0.7
const DEFAULT_MAX_TOKENS = 1000
const MAX_TRIES = 2
const BACKOFF_MS = 500
/** A gateway that asks for a longer pause than this is not waited for. */
const MAX_BACKOFF_MS = 20_000

/** A run that this isolate runs itself, whoever is listening; it is settled before its end is told. */
export class RunInPlace {
  readonly events: RunEvent[] = []
  readonly outcome: Promise<Outcome>
  #listeners = new Set<() => void>()
  #abort = new AbortController()
  #response = ''
  #hasOutput = false
  #completion?: Completion

  constructor (private readonly assignment: Assignment, private readonly database: Database, private readonly leases: Leases) {
    const release = leases.hold(assignment.run.runId, why => this.stop(why))
    const timer = setTimeout(() => this.#abort.abort('timeout'), assignment.deadline - Date.now())
    this.outcome = this.#live().finally(() => {
      release()
      clearTimeout(timer)
    })
  }

  get runId (): string { return this.assignment.run.runId }

  stop: Stop = why => this.#abort.abort(why)

  /** Calls back with each event to come. Returns how to stop that. */
  listen (onEvent: () => void): () => void {
    this.#listeners.add(onEvent)
    return () => this.#listeners.delete(onEvent)
  }

  async #live (): Promise<Outcome> {
    for (const event of beginning(this.assignment.run)) this.#emit(event)
    let failure: unknown
    try {
      if (this.assignment.cached) this.#tellCached(this.assignment.cached)
      else await this.#askModel(0)
    } catch (error) {
      failure = this.#abort.signal.aborted ? this.#abort.signal.reason : error
    }
    if (failure === 'lost') return { goesOn: true }
    if (failure === 'timeout' && this.assignment.hasBackend) return this.#handOver()
    return this.#settle(failure)
  }

  async #askModel (tries: number): Promise<void> {
    try {
      const sink = {
        text: (content: string) => { this.#response += content; this.#tell({ type: 'chunk', content }) },
        reasoning: (content: string) => this.#tell({ type: 'reasoning', content })
      }
      this.#completion = await complete(this.assignment.gateway, this.#request(), sink, this.#abort.signal)
    } catch (error) {
      const pause = this.#hasOutput || this.#abort.signal.aborted ? undefined : pauseBefore(error, tries + 1)
      if (pause === undefined) throw error
      this.#emit({ type: 'retry', code: (error as EdgeError).code, delayMs: pause })
      await wait(pause, this.#abort.signal)
      return this.#askModel(tries + 1)
    }
  }

  /** No model is asked, and nothing is used. */
  #tellCached ({ response, finishReason, model }: CachedAnswer): void {
    this.#response = response
    if (response) this.#emit({ type: 'chunk', content: response })
    this.#completion = { finishReason, model: model ?? this.#request().model, usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }
  }

  #request (): ModelRequest {
    const { agent, messages, responseFormat, defaultModel } = this.assignment
    return {
      model: agent.model || defaultModel,
      messages: buildMessages(agent, messages),
      temperature: agent.temperature ?? DEFAULT_TEMPERATURE,
      maxTokens: agent.maxTokens ?? DEFAULT_MAX_TOKENS,
      responseFormat
    }
  }

  #tell (event: RunEvent & { content: string }): void {
    this.#hasOutput = true
    this.#emit(event)
  }

  #emit (event: RunEvent): void {
    this.events.push(event)
    for (const listener of this.#listeners) listener()
  }

  /** The service begins the run anew. Where the database cannot be told so, it does when the lease has ended. */
  async #handOver (): Promise<Outcome> {
    await this.database.persist('release_runs', { p_owner: this.leases.owner, p_run_ids: [this.runId] }).catch(() => {})
    return { goesOn: true }
  }

  async #settle (failure: unknown): Promise<Outcome> {
    try {
      const run = await this.#finish(failure)
      this.#emit(finalEvent(run))
      return { run }
    } catch (error) {
      // Unsettled it is still unfinished: whoever has it, or claims it, ends it.
      log('error', 'not settled', { cause: describe(error), runId: this.runId })
      return { goesOn: true }
    }
  }

  async #finish (failure: unknown): Promise<Run> {
    const error = failure === undefined || failure === 'cancelled'
      ? null
      : toEdgeError(failure === 'timeout' ? errors.gatewayTimeout() : failure)
    const request = this.#request()
    const text = this.events.map(event => 'content' in event ? event.content : '').join('')
    const usage = this.#completion || this.#hasOutput ? measureUsage(this.#completion?.usage, request.messages, text) : NO_USAGE
    const result = {
      p_run_id: this.runId,
      p_attempt: this.assignment.run.attempt,
      p_status: error ? 'failed' : failure === 'cancelled' ? 'cancelled' : 'succeeded',
      p_response: this.#response,
      p_finish_reason: this.#completion?.finishReason ?? null,
      p_usage: usage,
      // For our own faults nobody pays.
      p_credits: this.#hasOutput && error?.code !== errors.internal.code ? priceOf(this.assignment.rates, request.model, usage) : 0,
      p_model: this.#completion?.model ?? request.model,
      p_error: error && { code: error.code, message: error.message },
      p_trace: toTrace(this.events)
    }
    try {
      return await this.database.persist<Run>('finish_run', result)
    } catch (refusal) {
      if (!(refusal instanceof EdgeError) || refusal.code !== errors.internal.code) throw refusal
      // What the database refuses for good ends the run all the same, or it would be made again and again.
      const { code, message } = refusal
      return this.database.persist<Run>('finish_run', { ...result, p_status: 'failed', p_credits: 0, p_error: { code, message } })
    }
  }
}

/** Milliseconds to wait before the next try; undefined: there is none. Half of the pause is chance. */
function pauseBefore (error: unknown, tries: number): number | undefined {
  if (!(error instanceof EdgeError) || !error.isRetryable || tries >= MAX_TRIES) return undefined
  const asked = (error.retryAfter ?? 0) * 1000
  return asked > MAX_BACKOFF_MS ? undefined : Math.round(Math.max(asked, BACKOFF_MS * (0.5 + Math.random() / 2)))
}

function wait (ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(signal.reason)
    }, { once: true })
  })
}
