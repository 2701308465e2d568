import { ServiceError } from '#shared/errors.ts'
import { type ChatRequest, Dialects } from '#shared/gateway/dialect.ts'
import { hideQuotes } from '#shared/gateway/quotes.ts'
import { Refusal } from '#shared/gateway/refusals.ts'
import { toWireJson } from '#shared/gateway/wire.ts'
import { type ModelMessage, toSentMessages } from '#shared/messages.ts'
import type { ResponseFormat } from '#shared/schemas.ts'
import { type TraceContext, traceHeaders } from '#shared/traces/trace-context.ts'
import { type CancelSignal, toAbortSignal } from '../../lib/cancellation.js'
import { type Completion, CompletionHandler, type ModelSink } from './completion.js'
import { GatewayHealth, type GatewayNews } from './health.js'
import { HttpClient } from './http/client.js'
import { ReadWindow } from './http/read-window.js'
import { LoopLoad } from './loop-load.js'
import { ModelsClient } from './models.js'

export interface GatewayOptions {
  /** The base URL, without a trailing slash. */
  url: string
  key?: string
  /** The model for requests that name none. */
  model: string
  /** False if the operator did not set `model`: if the gateway lacks it, the first model that it lists is used. */
  modelIsChosen: boolean
  /** The maximum length of one answer, in UTF-16 units; 256 Mi by default. */
  maxAnswer?: number
  /** How many milliseconds the gateway may send no part of an answer; 300,000 by default. */
  silenceTimeout?: number
  /** How many milliseconds output may be delayed while the process is busy, to be emitted in batches; 0 or undefined: never. */
  flushMs?: number
  /** Takes what operators are to know of the gateway. */
  onNews?: (news: GatewayNews) => void
}

/** A tool as it is described to the model. */
export interface ToolDescription {
  readonly name: string
  readonly description: string
  /** The JSON Schema of the arguments, which are an object. */
  readonly parameters: object
}

/** One request to a model, independent of the gateway's dialect. */
export interface ModelRequest {
  model?: string | null
  messages: ModelMessage[]
  temperature: number
  maxTokens: number
  tools?: readonly ToolDescription[]
  /** Describes the tools but forbids calling them: a conversation that contains tool calls needs the descriptions. */
  forbidToolCalls?: boolean
  responseFormat?: ResponseFormat
  /** The trace that the request hands on. */
  trace?: TraceContext
}

/** In milliseconds, as the other timeouts. */
const CONNECT_TIMEOUT = 10_000
const MODELS_TIMEOUT = 10_000
/** A reasoning model may say nothing for minutes before and between tokens. What a gateway sends meanwhile to keep the connection does not count. */
const SILENCE_TIMEOUT = 300_000
/** Less than the shortest common idle timeout of servers, five seconds. */
const IDLE_TIMEOUT = 4_000
/** Half of the maximum length of a string: an endless answer must not crash the process. */
const MAX_ANSWER = 256 * 1024 * 1024

/**
 * A client for an OpenAI-compatible gateway. A request that is refused for an unsupported parameter is repeated without it, and
 * what the gateway says of the parameter is learned (`Dialects`).
 */
export class Gateway {
  readonly health: GatewayHealth
  readonly #client: HttpClient
  readonly #models: ModelsClient
  #dialects = new Dialects()
  /** The parameters that a run's own request was refused. A run changes one request from turn to turn, so they hold for its end. */
  #refused = new WeakMap<ModelRequest, Set<string>>()
  #discoveredModel?: string
  /** Whether the default model has ever answered; after that no refusal means that the gateway lacks it. */
  #hasDefaultModel = false

  /** @throws {TypeError} if the URL is invalid, or the key has a character that cannot be sent in a header. */
  constructor (private readonly options: GatewayOptions) {
    this.#models = new ModelsClient(options.url, this.#headers())
    this.health = new GatewayHealth(this.#models, options.url, options.onNews ?? (() => {}))
    this.#client = new HttpClient(`${options.url}/chat/completions`, {
      headers: { ...this.#headers(), 'content-type': 'application/json', accept: 'text/event-stream' },
      connectTimeout: CONNECT_TIMEOUT,
      silenceTimeout: options.silenceTimeout ?? SILENCE_TIMEOUT,
      idleTimeout: IDLE_TIMEOUT,
      window: options.flushMs ? new ReadWindow(options.flushMs, new LoopLoad()) : undefined
    })
  }

  /**
   * Requests one chat completion and passes its output to a sink while it arrives.
   * @throws {ServiceError} `gateway_…` for every failure of the gateway, with the sentence that the caller reads
   * (gateway-errors.ts); `retryAfter` is in seconds.
   * @throws the signal's reason when it is aborted.
   */
  complete (request: ModelRequest, sink: ModelSink, signal: CancelSignal): Promise<Completion> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const body = this.#dialects.speak(this.#toBody(request), this.#refused.get(request))
      // An answer may take an hour: a promise with callbacks keeps less memory alive than a suspended async function.
      const handler = new CompletionHandler(body.model, sink, signal, this.options.maxAnswer ?? MAX_ANSWER, completion => {
        this.#hasDefaultModel ||= body.model === this.options.model
        this.health.noteCompleted()
        resolve(completion)
      }, error => {
        if (error instanceof Refusal) resolve(this.#repeatAdapted(error, body, request, sink, signal))
        else reject(this.#report(error, request))
      })
      handler.attach(this.#client.post(toWireJson(body), handler, traceHeaders(request.trace)))
    })
  }

  async close (): Promise<void> {
    this.health.close()
    this.#client.close()
    await this.#models.close()
  }

  #toBody ({ model, messages, temperature, maxTokens, tools = [], forbidToolCalls: mayNotCall, responseFormat }: ModelRequest): ChatRequest {
    return {
      model: model || this.#discoveredModel || this.options.model,
      messages: toSentMessages(messages, model || this.options.model),
      stream: true,
      stream_options: { include_usage: true },
      temperature,
      max_tokens: maxTokens,
      tools: tools.length > 0 ? tools.map(describeTool) : undefined,
      tool_choice: tools.length > 0 && mayNotCall ? 'none' : undefined,
      response_format: responseFormat
    }
  }

  /**
   * Repeats a refused request in the model's dialect, or with another default model.
   * @throws {ServiceError} `gateway_rejected`, with the gateway's sentence, if the refusal suggests neither.
   */
  async #repeatAdapted (refusal: Refusal, refused: ChatRequest, request: ModelRequest, sink: ModelSink, signal: CancelSignal): Promise<Completion> {
    const name = refusal.mayBeDialect ? this.#dialects.learn(refused, refusal) : undefined
    if (name !== undefined) this.#refused.set(request, (this.#refused.get(request) ?? new Set()).add(name))
    else if (!await this.#findModel(request, refused.model, refusal, signal)) {
      throw this.#report(refusal.toServiceError(), request)
    }
    return this.complete(request, sink, signal)
  }

  #report (error: unknown, { messages }: ModelRequest): unknown {
    if (error instanceof ServiceError) this.health.noteFailed(error)
    return hideQuotes(error, messages, this.options.key)
  }

  #headers (): Record<string, string> {
    return this.options.key ? { authorization: `Bearer ${this.options.key}` } : {}
  }

  /**
   * Chooses the first chat model that the gateway lists, if neither the agent nor the operator chose a model and the gateway
   * lacks the default one (Ollama, vLLM). The choice holds until the process ends; an operator changes it by AI_MODEL.
   * @returns whether there is a chosen model, so that repeating the request makes sense.
   */
  async #findModel (request: ModelRequest, refused: string, refusal: Refusal, signal: CancelSignal): Promise<boolean> {
    const isDefault = !request.model && !this.options.modelIsChosen && refused === this.options.model
    if (!isDefault || this.#hasDefaultModel || !refusal.isUnknownModel) return false
    // Another run may have chosen a model meanwhile.
    if (this.#discoveredModel) return true
    try {
      const { ids = [] } = await this.#models.ask(AbortSignal.any([toAbortSignal(signal), AbortSignal.timeout(MODELS_TIMEOUT)]))
      // The gateway has the default model, so it refused something else.
      if (ids.includes(this.options.model)) return false
      this.#discoveredModel ??= ids.find((id): id is string =>
        typeof id === 'string' && !/embed|whisper|tts|dall-e|moderation|rerank/i.test(id))
    } catch {
      signal.throwIfAborted()
    }
    return this.#discoveredModel !== undefined
  }
}

function describeTool ({ name, description, parameters }: ToolDescription) {
  return { type: 'function', function: { name, description, parameters } }
}
