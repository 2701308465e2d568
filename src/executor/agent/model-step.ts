import type { BilledTry } from '#shared/database/runs.ts'
import { errors, ServiceError } from '#shared/errors.ts'
import { pauseBefore } from '#shared/gateway/backoff.ts'
import { failureOfEmpty } from '#shared/gateway/empty-answer.ts'
import { gatewayFailure, levelOf } from '#shared/gateway/failure.ts'
import type { ToolCall } from '#shared/messages.ts'
import { rateOf } from '#shared/price.ts'
import type { RunEvent, Usage } from '#shared/schemas.ts'
import { toStoredValue } from '#shared/text.ts'
import type { StepSpan } from '#shared/traces/step-span.ts'
import { measureUsage } from '#shared/usage.ts'
import { GrowingText } from '../../lib/growing-text.js'
import type { Completion } from '../gateway/completion.js'
import type { ModelRequest } from '../gateway/gateway.js'
import { withUniqueIds } from '../gateway/tool-calls.js'
import { withKnownNames } from '../gateway/tool-names.js'
import type { AgentContext } from './agent-context.js'
import type { Progress } from './progress.js'

const MAX_TRIES = 4
/** How often a model may answer nothing: each such try is billed, so there are fewer. */
const MAX_EMPTY_TRIES = 2

/** A completed turn of a model. Its tool calls have the names of known tools where these are meant, and ids of their own. */
export interface Turn extends Omit<Completion, 'usage'> {
  content: string
  /** The name of the model in the request, which determines the rate; `model` is the name that the gateway reports. */
  askedFor: string
  usage: Usage
  /** The tries of this turn that failed and are billed too; undefined if there are none. */
  failed?: BilledTry[]
}

/**
 * Executes one model step. Retryable errors are retried up to three times with exponential backoff; then the fallback
 * models are tried in order. The output of a failed try is rewound.
 * @param span the step's, below which each try has one.
 * @throws {ServiceError} the error of the last try.
 * @throws the signal's reason when it is aborted.
 */
export async function runModelStep (request: ModelRequest, progress: Progress, context: AgentContext, span?: StepSpan): Promise<Turn> {
  const { fallbackModels } = context
  const failed: BilledTry[] = []
  let asked = request
  for (let fallbacks = 0, tries = 1; ; tries++) {
    const step = new StepOutput(asked, progress, context)
    const call = span?.openChat({ ...asked, model: asked.model ?? context.defaultModel })
    asked.trace = call?.context ?? context.trace
    try {
      const turn = step.toTurn(await context.gateway.complete(asked, step, context.signal))
      call?.end({ ...turn, text: turn.content })
      if (failed.length > 0) turn.failed = failed
      return turn
    } catch (error) {
      const billed = step.billFailure()
      if (billed) failed.push(billed)
      call?.end({ usage: billed?.usage, error: context.signal.aborted ? 'cut_off' : error instanceof ServiceError ? error.code : 'failed' })
      if (!(error instanceof ServiceError)) throw error
      if (!context.signal.aborted) noteFailure(error, asked, progress, context)
      const pause = pauseBefore(error, tries, error.code === errors.gatewayEmptyAnswer.code ? MAX_EMPTY_TRIES : MAX_TRIES)
      const nextModel = pause === undefined && mayFallBack(error) ? fallbackModels[fallbacks] : undefined
      if (context.signal.aborted || (pause === undefined && nextModel === undefined)) throw error
      const delayMs = pause ?? 0
      context.log('retried', { code: error.code, tries, delayMs, nextModel })
      context.figures.noteRetry(nextModel === undefined ? 'same_model' : 'fallback_model')
      step.rewind()
      context.emit({ type: 'retry', code: error.code, delayMs, ...(nextModel === undefined ? {} : { model: nextModel }) })
      if (nextModel === undefined) {
        await context.wait(delayMs)
      } else {
        asked = { ...request, model: nextModel }
        fallbacks++
        tries = 0
      }
    }
  }
}

/** One line and one entry of the run for each failure of the gateway, whatever comes of it. */
function noteFailure (error: ServiceError, { model }: ModelRequest, progress: Progress, context: AgentContext): void {
  const failure = gatewayFailure(error, context.number, model ?? context.defaultModel)
  if (!failure) return
  progress.addFailure(failure)
  context.figures.noteGatewayFailure(failure)
  const { at, attempt, ...fields } = failure
  context.log('the gateway failed', fields, levelOf(failure))
}

/** Whether another model may succeed: not if the gateway's account is empty or its key is invalid. */
function mayFallBack (error: ServiceError): boolean {
  return error.isRetryable || error.code === 'gateway_rejected'
}

/** The output of one try of a step. */
class StepOutput {
  readonly mayCallTools: boolean
  /** The number of the first event with output; a rewind goes back to the one before. */
  #firstEvent?: number
  readonly #startedAt = performance.now()
  #reasoning?: GrowingText
  #wasStopped = false
  #billed?: BilledTry

  constructor (
    private readonly request: ModelRequest,
    private readonly progress: Progress,
    private readonly context: AgentContext
  ) {
    this.mayCallTools = request.tools !== undefined && request.tools.length > 0 && !request.forbidToolCalls
  }

  /** The text so far, without reasoning. */
  get content (): string { return this.#firstEvent === undefined ? '' : this.progress.textAfter(this.#firstEvent - 1) }

  /** All output but calls. */
  get #text (): string { return `${this.#reasoning ?? ''}${this.content}` }

  text (content: string): void {
    this.#emit({ type: 'chunk', content })
  }

  reasoning (content: string): void {
    this.#reasoning ??= new GrowingText()
    this.#reasoning.append(content)
    this.#emit({ type: 'reasoning', content })
  }

  stoppedAfterSending (): void {
    this.#wasStopped = true
  }

  /**
   * Adds the usage of a try that failed to the run's bill: of one that failed after some output, and the prompt of one that was
   * stopped from outside. One that failed before any output is not billed; one whose answer was empty has been billed by then.
   */
  billFailure (): BilledTry | undefined {
    const text = this.#text
    if (!this.#billed && (text || this.#wasStopped)) this.#bill(text)
    return this.#billed
  }

  /**
   * Bills the try and returns it as a completed turn.
   * @throws {ServiceError} `gateway_…`, if the run has no text by it, and no tool is called. Models end a run by an empty turn
   * where they have said everything before.
   */
  toTurn (completion: Completion): Turn {
    const { content, progress, request: { tools = [] } } = this
    const { askedFor, usage } = this.#bill(completion.toolCalls.length > 0 ? this.#text + JSON.stringify(completion.toolCalls) : this.#text, completion)
    progress.hasAnswer = true
    progress.model = completion.model
    progress.finishReason = completion.finishReason
    this.context.figures.modelSteps++
    const isEmpty = completion.toolCalls.length === 0 && content === '' && progress.response === ''
    const failure = isEmpty ? failureOfEmpty(completion, this.#reasoning !== undefined) : undefined
    if (failure) throw failure
    // A run without tools has a single step, whose figures are in the line 'finished'.
    if (tools.length > 0) this.context.log('step', { ms: Math.round(performance.now() - this.#startedAt), model: completion.model, ...usage })
    const turn: Turn = Object.assign(completion, { content, askedFor, usage })
    if (turn.toolCalls.length === 0) return turn
    // As the database returns them, so that a later attempt sends the same.
    turn.toolCalls = toStoredValue(withUniqueIds(withKnownNames(turn.toolCalls, tools))) as ToolCall[]
    if (turn.extra) turn.extra = toStoredValue(turn.extra) as Record<string, unknown>
    return turn
  }

  /** Tells readers to discard this try's output. */
  rewind (): void {
    if (this.#firstEvent === undefined) return
    this.context.figures.rewinds++
    this.context.emit({ type: 'rewind', to: this.#firstEvent - 1 })
  }

  #bill (output: string, completion?: Completion): BilledTry {
    const askedFor = this.request.model ?? this.context.defaultModel
    const usage = measureUsage(completion?.usage, this.request.messages, output, this.request)
    const hasOutput = output !== ''
    this.progress.countUsage(usage, rateOf(this.context.rates, askedFor), hasOutput)
    this.#billed = { askedFor, usage, hasOutput }
    return this.#billed
  }

  #emit (event: RunEvent & { content: string }): void {
    this.progress.noteOutput()
    const seq = this.context.emit(event)
    this.#firstEvent ??= seq
  }
}
