import { errors, ServiceError } from '#shared/errors.ts'
import { errorOfFrame, errorOfStatus, errorText, Refusal } from '#shared/gateway/refusals.ts'
import { parseRetryAfter } from '#shared/http/retry-after.ts'
import type { ToolCall } from '#shared/messages.ts'
import { toStorable, withoutHalfPair } from '#shared/text.ts'
import type { ReportedUsage } from '#shared/usage.ts'
import type { CancelListener, CancelSignal } from '../../lib/cancellation.js'
import { type DeltaField, DeltaTemplate, type TextReader } from './delta-template.js'
import type { Exchange, ResponseHandler } from './http/connection.js'
import type { ResponseHead } from './http/response-parser.js'
import { type DataReader, SseParser } from './sse-parser.js'
import { ToolCallCollector } from './tool-calls.js'

/** Where a model's words go: all that was read at once. */
export interface ModelSink {
  text (content: string): void
  reasoning (content: string): void
}

export interface Completion {
  model: string
  /** `stop`, `length`, `content_filter` … in the gateway's words; null where it did not say. */
  finishReason: string | null
  usage?: ReportedUsage
  /** What the model wants to be done before it goes on. */
  toolCalls: ToolCall[]
}

/** Characters that wait for no more: an event is what a socket holds back at the least. */
const MAX_GATHERED = 16 * 1024
const MAX_ERROR_BODY = 64 * 1024
const MAX_JSON_BODY = 16 * 1024 * 1024

/** Reads one answer of the gateway as it arrives. */
export class CompletionHandler implements ResponseHandler, DataReader, TextReader, CancelListener {
  #exchange?: Pick<Exchange, 'abort'>
  #status = 0
  #retryAfter?: number
  #parser?: SseParser
  #template = new DeltaTemplate()
  /** The body of an answer that is no stream: an error, or a completion in one piece. */
  #body: Buffer[] = []
  #bodyLength = 0
  #text = ''
  #reasoning = ''
  #sawEnd = false
  #toolCalls = new ToolCallCollector()
  #length = 0
  #completion: Completion
  #settled = false

  constructor (
    model: string,
    private readonly sink: ModelSink,
    private readonly signal: CancelSignal,
    /** Characters, thoughts and tool calls included. */
    private readonly maxAnswer: number,
    private readonly resolve: (completion: Completion) => void,
    private readonly reject: (error: unknown) => void
  ) {
    this.#completion = { model, finishReason: null, toolCalls: this.#toolCalls.calls }
    signal.addEventListener('abort', this, { once: true })
  }

  /** The request is under way. */
  begin (exchange: Pick<Exchange, 'abort'>): void {
    this.#exchange = exchange
  }

  /** The run is to stop. */
  handleEvent (): void {
    if (this.#settled) return
    this.#flushBefore()
    this.#fail(this.signal.reason)
  }

  onHead ({ status, headers }: ResponseHead): void {
    this.#status = status
    this.#retryAfter = parseRetryAfter(headers['retry-after'] ?? '')
    if (status === 200 && !headers['content-type']?.includes('application/json')) {
      this.#parser = new SseParser(this)
    }
  }

  onBody (bytes: Buffer, text: string, from: number, to: number): void {
    if (this.#settled) return
    if (!this.#parser) return this.#collect(bytes.subarray(from, to))
    try {
      const start = this.#parser.isBetweenEvents ? this.#template.cut(text, from, to, this) : from
      if (start < to) this.#parser.push(bytes.subarray(start, to))
      if (this.#text.length + this.#reasoning.length >= MAX_GATHERED) this.#flush()
    } catch (error) {
      this.#break(error)
    }
  }

  /** What one turn of the event loop brought is told together. */
  onTurn (): boolean {
    if (this.#settled || (this.#text === '' && this.#reasoning === '')) return false
    this.#flush()
    return true
  }

  onEnd (): void {
    if (this.#settled) return
    try {
      if (this.#status !== 200) throw this.#statusError()
      if (this.#parser) this.#parser.end()
      else this.#whole(JSON.parse(Buffer.concat(this.#body).toString()))
    } catch (error) {
      return this.#break(error)
    }
    this.#flush(true)
    if (!this.#sawEnd) return this.#fail(errors.gatewayUnavailable())
    this.#settle(() => this.resolve(this.#completion))
  }

  onError (error: Error): void {
    if (this.#settled) return
    // What arrived before the break is given out before the break is told.
    this.#flushBefore(true)
    // Only the usage may have been lost.
    if (this.#sawEnd) return this.#settle(() => this.resolve(this.#completion))
    const timedOut = /Timeout/.test(error.name)
    this.#fail((timedOut ? errors.gatewayTimeout() : errors.gatewayUnavailable()).with({ cause: error }))
  }

  #collect (chunk: Buffer): void {
    const limit = this.#status === 200 ? MAX_JSON_BODY : MAX_ERROR_BODY
    this.#bodyLength += chunk.length
    if (this.#bodyLength <= limit) {
      this.#body.push(Buffer.from(chunk))
    } else {
      this.#fail(this.#status === 200 ? errors.gatewayUnavailable() : this.#statusError())
    }
  }

  /** A frame that has to be parsed. */
  onData (data: string): void {
    if (data === '[DONE]') {
      this.#sawEnd = true
      return
    }
    if (data.trim() === '') return
    const frame = JSON.parse(data)
    if (frame?.error) throw errorOfFrame(frame.error)
    const choice = frame?.choices?.[0]
    this.#take(choice?.delta, choice?.finish_reason, frame)
    const field = onlyTextOf(choice, frame)
    if (field) this.#template.learn(data, field, choice.delta[field])
  }

  /** A text that the template has cut out. */
  onText (text: string): void {
    this.#grow(text.length)
    if (this.#template.field === 'content') this.#text += text
    else this.#think(text)
  }

  #think (thought: string): void {
    // A thought that follows text is told after it.
    if (this.#text) this.#flush()
    this.#reasoning += thought
  }

  #grow (length: number): void {
    this.#length += length
    if (this.#length + this.#toolCalls.length > this.maxAnswer) throw errors.gatewayAnswerTooLong()
  }

  #whole (completion: any): void {
    if (completion?.error) throw errorOfFrame(completion.error)
    const choice = completion?.choices?.[0]
    this.#take(choice?.message, choice?.finish_reason, completion)
    this.#sawEnd = choice !== undefined
  }

  #take (message: any, finishReason: unknown, { usage, model }: { usage?: ReportedUsage | null, model?: unknown }): void {
    const reasoning = message?.reasoning_content ?? message?.reasoning
    if (message?.tool_calls) this.#toolCalls.add(message.tool_calls)
    this.#grow(lengthOf(reasoning) + lengthOf(message?.content))
    if (typeof reasoning === 'string' && reasoning) this.#think(reasoning)
    if (typeof message?.content === 'string') this.#text += message.content
    if (typeof finishReason === 'string') {
      this.#completion.finishReason = finishReason
      this.#sawEnd = true
    }
    if (usage) this.#completion.usage = usage
    if (typeof model === 'string' && model) this.#completion.model = model
  }

  /** @param isLast half of a surrogate pair waits for its other half, so that every event is text by itself, unless there is none to come. */
  #flush (isLast = false): void {
    const reasoning = isLast ? this.#reasoning : withoutHalfPair(this.#reasoning)
    const text = isLast ? this.#text : withoutHalfPair(this.#text)
    this.#reasoning = this.#reasoning.slice(reasoning.length)
    this.#text = this.#text.slice(text.length)
    if (reasoning) this.sink.reasoning(toStorable(reasoning))
    if (text) this.sink.text(toStorable(text))
  }

  /** Tells what can still be told of an answer that ends for another reason: that is heard of whether this succeeds or not. */
  #flushBefore (isLast = false): void {
    try {
      this.#flush(isLast)
    } catch {}
  }

  /** What a gateway sends that cannot be read is the gateway's failure. */
  #break (error: unknown): void {
    this.#flushBefore(true)
    this.#fail(error instanceof Refusal || error instanceof ServiceError ? error : errors.gatewayUnavailable().with({ cause: error }))
  }

  #statusError (): Error {
    const text = errorText(Buffer.concat(this.#body).toString())
    return errorOfStatus(this.#status, text, this.#retryAfter)
  }

  #fail (error: unknown): void {
    this.#settle(() => this.reject(error))
    this.#exchange?.abort()
  }

  #settle (how: () => void): void {
    if (this.#settled) return
    this.#settled = true
    this.signal.removeEventListener('abort', this)
    how()
  }
}

function lengthOf (text: unknown): number {
  return typeof text === 'string' ? text.length : 0
}

/** Which text a frame says, where it says nothing else: what is like it is that and no more. */
function onlyTextOf (choice: any, { usage }: { usage?: unknown }): DeltaField | undefined {
  const delta = choice?.delta
  if (!delta || delta.tool_calls || usage || typeof choice.finish_reason === 'string') return undefined
  const said = (['content', 'reasoning_content', 'reasoning'] as const).filter(field => delta[field])
  return said.length === 1 && typeof delta[said[0]!] === 'string' ? said[0] : undefined
}
