import { ServiceError } from '../errors.js'
import type { Message, RunEvent, Usage } from '../schemas.js'
import type { Gateway, ModelRequest } from './gateway.js'
import type { Completion } from './gateway-answer.js'
import { buildMessages, type Agent } from './prompt.js'
import type { FunctionResult } from '../schemas.js'
import { addUsage, measureUsage, NO_USAGE } from './usage.js'

const DEFAULT_TEMPERATURE = 0.7
const DEFAULT_MAX_TOKENS = 1000

const MAX_TRIES = 4
const FIRST_BACKOFF = 500
/** A gateway that asks for a longer pause than this is not waited for. */
const MAX_BACKOFF = 20_000

/** What a run needs to know of the world around it. */
export interface AgentContext {
  readonly gateway: Pick<Gateway, 'complete'>
  /** What the gateway takes where the agent names no model. */
  readonly defaultModel: string
  /** Tried in turn where the agent's own model keeps failing. */
  readonly fallbackModels: readonly string[]
  readonly signal: AbortSignal
  /** Waits so many milliseconds; rejects when the signal is aborted. */
  wait (ms: number, signal: AbortSignal): Promise<unknown>
  /** Tells the run's readers. Returns the event's number. */
  emit (event: RunEvent): number
  /** Tells the operators. */
  log (message: string, fields: Record<string, unknown>): void
}

export interface AgentInput {
  agent: Agent
  messages: Message[]
  functionResults?: FunctionResult[]
}

/** What an agent has brought forth so far; it grows while the agent runs, and holds whatever ends it. */
export class Progress {
  response = ''
  model: string | null = null
  finishReason: string | null = null
  usage: Usage = NO_USAGE
  /** Whether anything at all came of the run, be it text that a retry has taken back. */
  output = false
}

/** Runs an agent to its end: today one model step. Throws what ended it before. */
export async function runAgent (input: AgentInput, progress: Progress, context: AgentContext): Promise<void> {
  const { agent } = input
  progress.model = agent.model ?? context.defaultModel
  await modelStep({
    model: agent.model,
    messages: buildMessages(agent, input.messages, input.functionResults),
    temperature: agent.temperature ?? DEFAULT_TEMPERATURE,
    maxTokens: agent.maxTokens ?? DEFAULT_MAX_TOKENS
  }, progress, context)
}

/** One step by the agent's model, or by the first fallback model that does not keep failing. */
async function modelStep (request: ModelRequest, progress: Progress, context: AgentContext): Promise<void> {
  const models = [request.model ?? undefined, ...context.fallbackModels]
  for (const [index, model] of models.entries()) {
    try {
      return await tryModel({ ...request, model }, models[index + 1], progress, context)
    } catch (error) {
      const isLast = index === models.length - 1
      if (isLast || context.signal.aborted || !(error instanceof ServiceError) || !mayFallBack(error)) throw error
    }
  }
}

/** Where one model cannot, another may; not where the platform's account is empty or its key is refused. */
function mayFallBack (error: ServiceError): boolean {
  return error.isRetryable || error.code === 'gateway_rejected'
}

/** One call of a model, tried again while that may help; what a try that broke off had said is taken back. */
async function tryModel (
  request: ModelRequest, nextModel: string | undefined, progress: Progress, context: AgentContext
): Promise<void> {
  const before = progress.response
  for (let tries = 1; ; tries++) {
    const step = new StepOutput(progress, context)
    const startedAt = performance.now()
    try {
      const completion = await context.gateway.complete(request, step, context.signal)
      step.settle(request, completion)
      context.log('step', { ms: Math.round(performance.now() - startedAt), model: completion.model, ...progress.usage })
      return
    } catch (error) {
      step.settle(request)
      if (!(error instanceof ServiceError)) throw error
      const pause = pauseBefore(error, tries)
      const fallsBack = pause === undefined && nextModel !== undefined && mayFallBack(error)
      if (context.signal.aborted || (pause === undefined && !fallsBack)) throw error
      const delayMs = Math.round(pause ?? 0)
      context.log('retried', { code: error.code, tries, delayMs, nextModel: fallsBack ? nextModel : undefined })
      progress.response = before
      if (step.firstEvent !== undefined) context.emit({ type: 'rewind', to: step.firstEvent - 1 })
      context.emit({ type: 'retry', code: error.code, delayMs, ...(fallsBack ? { model: nextModel } : {}) })
      if (fallsBack) throw error
      await context.wait(delayMs, context.signal)
    }
  }
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
  /** The number of the first event with text. */
  firstEvent?: number
  #text = ''

  constructor (private readonly progress: Progress, private readonly context: AgentContext) {}

  text (content: string): void {
    this.progress.response += content
    this.#tell({ type: 'chunk', content })
  }

  reasoning (content: string): void {
    this.#tell({ type: 'reasoning', content })
  }

  /** Tokens that were read are used up, whether their try came to its end or not. */
  settle ({ messages }: ModelRequest, completion?: Completion): void {
    if (!completion && !this.#text) return
    const usage = measureUsage(completion?.usage, messages, this.#text)
    this.progress.usage = addUsage(this.progress.usage, usage)
    if (!completion) return
    this.progress.model = completion.model
    this.progress.finishReason = completion.finishReason
  }

  #tell (event: RunEvent & { content: string }): void {
    this.progress.output = true
    this.#text += event.content
    const seq = this.context.emit(event)
    this.firstEvent ??= seq
  }
}
