import type { CachedAnswer } from '../../_shared/agent.ts'
import type { FinishRun } from '../../_shared/database/functions.ts'
import { errors, failureOf, ServiceError, toServiceError } from '../../_shared/errors.ts'
import { pauseBefore } from '../../_shared/gateway/backoff.ts'
import { DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE } from '../../_shared/gateway/defaults.ts'
import { failureOfEmpty } from '../../_shared/gateway/empty-answer.ts'
import { type GatewayFailure, gatewayFailure, levelOf } from '../../_shared/gateway/failure.ts'
import type { AnswerEnd } from '../../_shared/gateway/frame-reader.ts'
import { finalEvent } from '../../_shared/final-event.ts'
import { fitAgent } from '../../_shared/bounds/fit-agent.ts'
import { priceOf } from '../../_shared/price.ts'
import { buildMessages, lastUserText } from '../../_shared/prompt.ts'
import type { FunctionResult, Run, RunEvent, Usage } from '../../_shared/schemas.ts'
import { beginning, toTrace, withoutTexts } from '../../_shared/trace.ts'
import type { RunSpans } from '../../_shared/traces/run-spans.ts'
import type { StepSpan } from '../../_shared/traces/step-span.ts'
import type { TraceContext } from '../../_shared/traces/trace-context.ts'
import { measureUsage, NO_USAGE } from '../../_shared/usage.ts'
import type { Database } from '../database.ts'
import { runFunctions, runsInPlace } from '../functions/run-functions.ts'
import { sendWebhooks } from '../functions/send-webhooks.ts'
import { complete, type ModelRequest } from '../gateway/gateway.ts'
import { describe, keepAlive, log } from '../http/log.ts'
import { pause } from '../streams/poll.ts'
import type { Assignment } from './assignment.ts'
import { finishRun } from './finish-run.ts'
import type { Leases, Stop } from './leases.ts'

/** The end of a run here: the settled run, or `goesOn` if it continues elsewhere. */
export type Outcome = { run: Run } | { goesOn: true }

const MAX_TRIES = 2
/** The usage of an answer that is not a model's. */
const NO_TOKENS = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }

/** A run of this isolate. It does not depend on its readers, and it is settled before its last event is emitted. */
export class LocalRun {
  readonly events: RunEvent[] = []
  readonly outcome: Promise<Outcome>
  #listeners = new Set<() => void>()
  #abort = new AbortController()
  #response = ''
  #hasOutput = false
  #completion?: AnswerEnd
  /** Whether the gateway may have the request. */
  #wasAsked = false
  #functionResults: FunctionResult[] = []
  /** Why the gateway has failed, try by try. */
  #failures: GatewayFailure[] = []
  readonly #spans: RunSpans | undefined
  #step: StepSpan | undefined

  private readonly assignment: Assignment

  constructor (assignment: Assignment, private readonly database: Database, private readonly leases: Leases) {
    const { agent, cut } = fitAgent(assignment.agent)
    this.assignment = { ...assignment, agent }
    this.#spans = assignment.tracer?.openRun({ ...this.assignment, kind: 'edge' })
    if (cut.length > 0) log('info', 'agent cut', { columns: cut, runId: this.runId })
    const release = leases.hold(assignment.run.runId, why => this.stop(why))
    const { deadline, maxRunMs } = assignment
    const left = deadline - Date.now()
    const timer = setTimeout(() => this.#abort.abort(maxRunMs < left ? 'overdue' : 'timeout'), Math.min(maxRunMs, left))
    this.outcome = this.#execute().finally(() => {
      release()
      clearTimeout(timer)
    })
  }

  get runId (): string { return this.assignment.run.runId }

  stop: Stop = why => this.#abort.abort(why)

  get #trace (): TraceContext | undefined { return this.#spans?.context ?? this.assignment.traceContext }

  /** Calls back after each new event. Returns the function that ends this. */
  listen (onEvent: () => void): () => void {
    this.#listeners.add(onEvent)
    return () => this.#listeners.delete(onEvent)
  }

  async #execute (): Promise<Outcome> {
    const { run: { agentId, attempt }, cached, hasBackend } = this.assignment
    for (const event of beginning(this.runId, agentId, attempt)) this.#emit(event)
    let failure: unknown
    try {
      const answer = await this.#runFunctions()
      if (cached) this.#emitCached(cached)
      else if (answer !== undefined) this.#emitAnswer(answer)
      else await this.#askModel(0)
    } catch (error) {
      failure = this.#abort.signal.aborted ? this.#abort.signal.reason : error
    }
    if (failure === 'lost') return { goesOn: true }
    if (failure === 'timeout' && hasBackend) return this.#handOver()
    return this.#settle(failure)
  }

  /**
   * Runs the functions that the message triggers, and sends their webhooks. A cached answer runs no function except those.
   * @returns the answer that replaces the model's, if there is one.
   */
  async #runFunctions (): Promise<string | undefined> {
    const { run: { runId, agentId }, agent: { functions = [] }, messages, cached, webhooks: options } = this.assignment
    // A function may have been added since it was decided where the agent runs.
    if (!runsInPlace(functions)) throw errors.functionsUnavailable()
    const wanted = cached ? functions.filter(({ type }) => type === 'webhook') : functions
    const { results, answer, webhooks, emitted } = await runFunctions(wanted, lastUserText(messages), { runId, agentId, signal: this.#abort.signal })
    for (const event of emitted) this.#emit(event)
    this.#functionResults = results
    // The platform's receivers are told at once, and of a model's answer nothing.
    keepAlive(sendWebhooks(webhooks, cached?.response ?? answer ?? '', { ...options, trace: this.#trace }), runId)
    return answer
  }

  /** Emits the answer of a function that replaces the model's. It costs the price of a run, without tokens. */
  #emitAnswer (answer: string): void {
    this.#response = answer
    this.#emitOutput({ type: 'chunk', content: answer })
    this.#completion = { finishReason: 'stop', model: this.#request().model, usage: NO_TOKENS }
  }

  async #askModel (tries: number): Promise<void> {
    const request = this.#request()
    this.#step ??= this.#spans?.openStep('model', 0)
    const call = this.#step?.openChat(request)
    try {
      const sink = {
        text: (content: string) => { this.#response += content; this.#emitOutput({ type: 'chunk', content }) },
        reasoning: (content: string) => this.#emitOutput({ type: 'reasoning', content })
      }
      this.#wasAsked = true
      this.#completion = await complete(this.assignment.gateway, { ...request, trace: call?.context ?? this.#trace }, sink, this.#abort.signal)
      const failure = this.#response === '' ? failureOfEmpty(this.#completion, this.#hasOutput) : undefined
      if (failure) throw failure
      call?.end({ ...this.#completion, text: this.#response, usage: this.#usage(request) })
    } catch (error) {
      call?.end({ error: this.#abort.signal.aborted ? 'cut_off' : error instanceof ServiceError ? error.code : 'failed' })
      // A try that failed before any output costs nothing.
      if (!this.#abort.signal.aborted) this.#wasAsked = false
      if (!this.#abort.signal.aborted && error instanceof ServiceError) this.#noteFailure(error)
      const delayMs = this.#hasOutput || this.#completion || this.#abort.signal.aborted ? undefined : pauseBefore(error, tries + 1, MAX_TRIES)
      if (delayMs === undefined) throw error
      this.#emit({ type: 'retry', code: (error as ServiceError).code, delayMs })
      await pause(delayMs, this.#abort.signal)
      this.#abort.signal.throwIfAborted()
      return this.#askModel(tries + 1)
    }
  }

  #noteFailure (error: ServiceError): void {
    const failure = gatewayFailure(error, this.assignment.run.attempt, this.#request().model)
    if (!failure) return
    this.#failures.push(failure)
    const { at, attempt, ...fields } = failure
    log(levelOf(failure), 'the gateway failed', { ...fields, runId: this.runId })
  }

  /** Emits a cached answer. No model is called and no tokens are used. */
  #emitCached ({ response, finishReason, model }: CachedAnswer): void {
    this.#response = response
    if (response) this.#emit({ type: 'chunk', content: response })
    this.#completion = { finishReason, model: model ?? this.#request().model, usage: NO_TOKENS }
  }

  #request (): ModelRequest {
    const { agent, messages, responseFormat, defaultModel } = this.assignment
    return {
      model: agent.model || defaultModel,
      messages: buildMessages(agent, messages, this.#functionResults),
      temperature: agent.temperature ?? DEFAULT_TEMPERATURE,
      maxTokens: agent.maxTokens ?? DEFAULT_MAX_TOKENS,
      responseFormat
    }
  }

  #emitOutput (event: RunEvent & { content: string }): void {
    this.#hasOutput = true
    this.#emit(event)
  }

  #emit (event: RunEvent): void {
    this.events.push(event)
    for (const listener of this.#listeners) listener()
  }

  /** Releases the run for the service to begin again. If the database cannot be reached, the service does so after the lease. */
  async #handOver (): Promise<Outcome> {
    await this.database.persist('release_runs', { p_owner: this.leases.owner, p_run_ids: [this.runId] }).catch(() => {})
    return { goesOn: true }
  }

  async #settle (failure: unknown): Promise<Outcome> {
    try {
      const run = await this.#finish(failure)
      this.#emit(finalEvent(run))
      this.#sendSpans(run)
      return { run }
    } catch (error) {
      // The run is still unfinished. Its new owner, or whoever claims it, ends it.
      log('error', 'not settled', { cause: describe(error), runId: this.runId })
      return { goesOn: true }
    }
  }

  #sendSpans (run: Run): void {
    this.#step?.end({ number: 1, credits: run.creditsCharged, error: run.error?.code })
    this.#spans?.end(run, { model: this.#completion?.model ?? this.#request().model })
    if (this.#spans) keepAlive(this.assignment.tracer!.exporter.flush(), this.runId)
  }

  #usage (request: ModelRequest): Usage {
    const text = this.events.map(event => 'content' in event ? event.content : '').join('')
    return measureUsage(this.#completion?.usage, request.messages, text, request)
  }

  #errorOf (failure: unknown): unknown {
    if (failure === 'overdue') return errors.runTimeout(this.assignment.maxRunMs / 1000)
    return failure === 'timeout' ? errors.gatewayTimeout() : failure
  }

  async #finish (failure: unknown): Promise<Run> {
    const error = failure === undefined || failure === 'cancelled'
      ? null
      : toServiceError(this.#errorOf(failure))
    const request = this.#request()
    const isUsed = this.#completion || this.#hasOutput || (failure === 'cancelled' && this.#wasAsked)
    const usage = isUsed ? this.#usage(request) : NO_USAGE
    // Nobody pays for our own faults, nor for a failure that came before any output, unless a model has worked for it.
    const isFree = !isUsed || (error && (error.code === errors.internal.code || !(this.#hasOutput || this.#completion)))
    const result: FinishRun = {
      p_run_id: this.runId,
      p_attempt: this.assignment.run.attempt,
      p_status: error ? 'failed' : failure === 'cancelled' ? 'cancelled' : 'succeeded',
      p_response: this.#response,
      p_finish_reason: this.#completion?.finishReason ?? null,
      p_usage: usage,
      p_credits: isFree ? 0 : priceOf(this.assignment.rates, request.model, usage, this.#hasOutput),
      p_model: this.#completion?.model ?? request.model,
      p_error: error && failureOf(error),
      p_trace: withoutTexts(toTrace(this.events.map((event, index) => ({ seq: index + 1, event }))))
    }
    return finishRun(this.database, result, this.#failures)
  }
}
