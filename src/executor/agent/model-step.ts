import { ServiceError } from '#shared/errors.ts'
import { rateOf } from '#shared/price.ts'
import type { RunEvent, Usage } from '#shared/schemas.ts'
import { measureUsage, NO_USAGE } from '#shared/usage.ts'
import { GrowingText } from '../../lib/growing-text.js'
import type { Completion } from '../gateway/completion.js'
import type { ModelRequest } from '../gateway/gateway.js'
import { withUniqueIds } from '../gateway/tool-calls.js'
import type { AgentContext } from './agent-context.js'
import type { Progress } from './progress.js'

const MAX_TRIES = 4
const FIRST_BACKOFF = 500
/** A gateway that asks for a longer pause than this is not waited for. */
const MAX_BACKOFF = 20_000

/** A turn of a model that came to its end: what it said, and what the agent asked it by. */
export interface Turn extends Omit<Completion, 'usage'> {
  content: string
  /** The model that was asked. */
  askedFor: string
  usage: Usage
}

/**
 * One step by the agent's model, or by the first fallback model that does not keep failing: each is tried again while that
 * may help, and what a try that broke off had said is taken back.
 */
export async function runModelStep (request: ModelRequest, progress: Progress, context: AgentContext): Promise<Turn> {
  const { fallbackModels } = context
  let asked = request
  for (let fallbacks = 0, tries = 1; ; tries++) {
    const step = new StepOutput(asked, progress, context)
    try {
      return step.toTurn(await context.gateway.complete(asked, step, context.signal))
    } catch (error) {
      step.billUsage()
      if (!(error instanceof ServiceError)) throw error
      const pause = pauseBefore(error, tries)
      const nextModel = pause === undefined && mayFallBack(error) ? fallbackModels[fallbacks] : undefined
      if (context.signal.aborted || (pause === undefined && nextModel === undefined)) throw error
      const delayMs = Math.round(pause ?? 0)
      context.log('retried', { code: error.code, tries, delayMs, nextModel })
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

/** Where one model cannot, another may; not where the platform's account is empty or its key is refused. */
function mayFallBack (error: ServiceError): boolean {
  return error.isRetryable || error.code === 'gateway_rejected'
}

/** Milliseconds to wait before the next try; undefined: there is none. Half of the pause is chance, so that those who failed together do not come back together. */
function pauseBefore (error: ServiceError, tries: number): number | undefined {
  if (!error.isRetryable || tries >= MAX_TRIES) return undefined
  const asked = (error.retryAfter ?? 0) * 1000
  if (asked > MAX_BACKOFF) return undefined
  const backoff = Math.min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** (tries - 1))
  return Math.max(asked, backoff * (0.5 + Math.random() / 2))
}

/** What one try of a step says. */
class StepOutput {
  usage = NO_USAGE
  /** The number of the first event with text. */
  #firstEvent?: number
  readonly #startedAt = performance.now()
  #reasoning?: GrowingText

  constructor (
    private readonly request: ModelRequest,
    private readonly progress: Progress,
    private readonly context: AgentContext
  ) {}

  /** What it has said. */
  get content (): string { return this.#firstEvent === undefined ? '' : this.progress.textAfter(this.#firstEvent - 1) }

  text (content: string): void {
    this.#tell({ type: 'chunk', content })
  }

  reasoning (content: string): void {
    this.#reasoning ??= new GrowingText()
    this.#reasoning.append(content)
    this.#tell({ type: 'reasoning', content })
  }

  /** Tokens that were read are used up, whether their try came to its end or not. */
  billUsage (completion?: Completion): void {
    const text = `${this.#reasoning ?? ''}${this.content}`
    if (!completion && !text) return
    const calls = completion?.toolCalls ?? []
    const output = calls.length > 0 ? text + JSON.stringify(calls) : text
    this.usage = measureUsage(completion?.usage, this.request.messages, output)
    this.progress.countUsage(this.usage, rateOf(this.context.rates, this.request.model ?? this.context.defaultModel), output !== '')
    if (!completion) return
    this.progress.model = completion.model
    this.progress.finishReason = completion.finishReason
  }

  /** The turn that came of it. */
  toTurn (completion: Completion): Turn {
    this.billUsage(completion)
    const { usage, content, request: { model, tools } } = this
    // Of a run of one step the line of its end says the same.
    if (tools?.length) this.context.log('step', { ms: Math.round(performance.now() - this.#startedAt), model: completion.model, ...usage })
    const { finishReason, toolCalls } = completion
    return { model: completion.model, finishReason, toolCalls: withUniqueIds(toolCalls), content, askedFor: model ?? this.context.defaultModel, usage }
  }

  /** Readers forget it. */
  rewind (): void {
    if (this.#firstEvent !== undefined) this.context.emit({ type: 'rewind', to: this.#firstEvent - 1 })
  }

  #tell (event: RunEvent & { content: string }): void {
    this.progress.hasOutput = true
    const seq = this.context.emit(event)
    this.#firstEvent ??= seq
  }
}
