import { Agent } from 'undici'
import { type ChatRequest, Dialects } from '#shared/gateway/dialect.ts'
import { Refusal } from '#shared/gateway/refusals.ts'
import type { ModelMessage } from '#shared/messages.ts'
import type { ResponseFormat } from '#shared/schemas.ts'
import { type CancelSignal, toAbortSignal } from '../../lib/cancellation.js'
import { type Completion, CompletionHandler, type ModelSink } from './completion.js'
import { HttpClient } from './http/client.js'
import { ReadWindow } from './http/read-window.js'
import { LoopLoad } from './loop-load.js'

export interface GatewayOptions {
  /** The base URL, without a slash at its end. */
  url: string
  key?: string
  /** The model of requests that name none. */
  model: string
  /** False: the operator did not choose `model`, and a gateway that lacks it may be asked for one that it has. */
  modelIsChosen: boolean
  /** Characters that one answer may have; half of what a string can hold unless said otherwise. */
  maxAnswer?: number
  /** For how many milliseconds what follows closely in an answer may wait while the process is busy, its end too, to be told together; 0, or not given: it does not. */
  flushMs?: number
}

/** A tool as the model is told of it. */
export interface ToolDescription {
  readonly name: string
  readonly description: string
  /** JSON Schema of the arguments: of an object. */
  readonly parameters: object
}

export interface ModelRequest {
  model?: string | null
  messages: ModelMessage[]
  temperature: number
  maxTokens: number
  tools?: readonly ToolDescription[]
  /** Tools are described and not to be called: a conversation in which they were needs their descriptions. */
  mayNotCall?: boolean
  responseFormat?: ResponseFormat
}

const CONNECT_TIMEOUT = 10_000
/** A reasoning model may think for minutes before its first token, and between two. */
const SILENCE_TIMEOUT = 300_000
/** Servers close what is not used, the quickest of them after five seconds. */
const IDLE_TIMEOUT = 4_000
/** What goes on beyond is a model that has lost its way, and would end the process. */
const MAX_ANSWER = 256 * 1024 * 1024

/** An OpenAI-compatible gateway. */
export class Gateway {
  /** For answers, which are read as they come. */
  readonly #client: HttpClient
  /** For all else. */
  #agent = new Agent({ connect: { timeout: CONNECT_TIMEOUT } })
  #dialects = new Dialects()
  #discoveredModel?: string

  /** @throws {TypeError} for a URL or a key that no request can have. */
  constructor (private readonly options: GatewayOptions) {
    this.#client = new HttpClient(`${options.url}/chat/completions`, {
      headers: { ...this.#headers(), 'content-type': 'application/json', accept: 'text/event-stream' },
      connectTimeout: CONNECT_TIMEOUT,
      silenceTimeout: SILENCE_TIMEOUT,
      idleTimeout: IDLE_TIMEOUT,
      window: options.flushMs ? new ReadWindow(options.flushMs, new LoopLoad()) : undefined
    })
  }

  /**
   * One streamed chat completion.
   * @throws {ServiceError} `gateway_…` for what the gateway answers or fails to; `retryAfter` in seconds where it
   * said so. The signal's reason, when it is aborted.
   */
  complete (request: ModelRequest, sink: ModelSink, signal: CancelSignal): Promise<Completion> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const body = this.#dialects.speak(this.#toBody(request))
      // An answer may last for an hour: nothing of this process waits for it but what is told of it.
      const handler = new CompletionHandler(body.model, sink, signal, this.options.maxAnswer ?? MAX_ANSWER, resolve, error => {
        if (error instanceof Refusal) resolve(this.#askAnew(error, body, request, sink, signal))
        else reject(error)
      })
      handler.begin(this.#client.post(JSON.stringify(body), handler))
    })
  }

  /** Whether something that speaks HTTP answers at the gateway's address. */
  async isReachable (): Promise<boolean> {
    try {
      const { body } = await this.#get('/models', AbortSignal.timeout(3000))
      await body.dump()
      return true
    } catch {
      return false
    }
  }

  async close (): Promise<void> {
    this.#client.close()
    await this.#agent.destroy()
  }

  #toBody ({ model, messages, temperature, maxTokens, tools = [], mayNotCall, responseFormat }: ModelRequest): ChatRequest {
    return {
      model: model || this.#discoveredModel || this.options.model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
      temperature,
      max_tokens: maxTokens,
      tools: tools.length > 0 ? tools.map(describeTool) : undefined,
      tool_choice: tools.length > 0 && mayNotCall ? 'none' : undefined,
      response_format: responseFormat
    }
  }

  /** In other words, or for another model, where the refusal says what to change. */
  async #askAnew (refusal: Refusal, refused: ChatRequest, request: ModelRequest, sink: ModelSink, signal: CancelSignal): Promise<Completion> {
    const taught = refusal.mayBeDialect && this.#dialects.learn(refused, refusal.text)
    if (!taught && !await this.#findModel(request, refused.model, refusal, signal)) throw refusal.toServiceError()
    return this.complete(request, sink, signal)
  }

  #get (path: string, signal: AbortSignal) {
    const { origin, pathname, search } = new URL(this.options.url + path)
    return this.#agent.request({ origin, path: pathname + search, method: 'GET', headers: this.#headers(), signal })
  }

  #headers (): Record<string, string> {
    return this.options.key ? { authorization: `Bearer ${this.options.key}` } : {}
  }

  /**
   * An agent that names no model, on a gateway that lacks our default one (Ollama, vLLM): takes the first chat model
   * that the gateway lists. Once; an operator who wants another sets AI_MODEL.
   */
  async #findModel (request: ModelRequest, refused: string, refusal: Refusal, signal: CancelSignal): Promise<boolean> {
    const isOurs = !request.model && !this.options.modelIsChosen && refused === this.options.model
    if (!isOurs || !refusal.isUnknownModel) return false
    // Another run may have found it meanwhile.
    if (this.#discoveredModel) return true
    try {
      const { statusCode, body } = await this.#get('/models', AbortSignal.any([toAbortSignal(signal), AbortSignal.timeout(10_000)]))
      const list = statusCode === 200 ? await body.json() as { data?: Array<{ id?: unknown }> } : (await body.dump(), {})
      const ids = (Array.isArray(list.data) ? list.data : []).map(model => model?.id)
      // A gateway that has our model refused something else.
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
