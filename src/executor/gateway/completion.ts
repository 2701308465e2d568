import { errors } from '#shared/errors.ts'
import { contentOf, errorOfFrame, finishReasonOf, modelOf, reasoningOf, usageOf } from '#shared/gateway/frames.ts'
import { parseRetryAfter } from '#shared/http/retry-after.ts'
import type { ToolCall } from '#shared/messages.ts'
import { toStorable, withoutHalfPair } from '#shared/text.ts'
import type { ReportedUsage } from '#shared/usage.ts'
import type { CancelListener, CancelSignal } from '../../lib/cancellation.js'
import { DeltaTemplate, templateFieldOf, type TextReader } from './delta-template.js'
import { errorOfConnection, errorOfReading, errorOfResponse } from './gateway-errors.js'
import type { Exchange, ResponseHandler } from './http/exchange.js'
import type { ResponseHead } from './http/response-head.js'
import { type DataReader, SseParser } from './sse-parser.js'
import { ToolCallCollector } from './tool-calls.js'

/** Receives the output of a model in batches: all that was read in one turn of the event loop. */
export interface ModelSink {
  text (content: string): void
  reasoning (content: string): void
  /** The signal was aborted before the end of the answer, and the gateway has the request. */
  stoppedAfterSending? (): void
}

/** The end of a completed answer; its text went to the sink. */
export interface Completion {
  /** As the gateway reports it, or as it was requested. */
  model: string
  /** `stop`, `length`, `content_filter` …, as the gateway reports it; null if it does not. */
  finishReason: string | null
  usage?: ReportedUsage
  /** The tool calls that the model requests, in order; empty for a final answer. */
  toolCalls: ToolCall[]
}

/** UTF-16 units above which buffered text is emitted within a turn of the event loop, to keep events small. */
const MAX_BUFFERED = 16 * 1024
/** In bytes. */
const MAX_ERROR_BODY = 64 * 1024
const MAX_JSON_BODY = 16 * 1024 * 1024

/**
 * Reads one response of the gateway, a stream of frames or a single JSON document, and passes its output to a sink while
 * it arrives. Frames that contain only text are extracted by a template (delta-template.ts); all others are parsed.
 * Failures become errors in gateway-errors.ts.
 */
export class CompletionHandler implements ResponseHandler, DataReader, TextReader, CancelListener {
  #exchange?: Pick<Exchange, 'abort' | 'isSent'>
  #status = 0
  #retryAfter?: number
  #parser?: SseParser
  #template = new DeltaTemplate()
  /** The body of a response that is not a stream: an error, or a whole completion. */
  #body: Buffer[] = []
  #bodyLength = 0
  #bodyPieces = 0
  #text = ''
  #reasoning = ''
  #sawEnd = false
  #toolCalls = new ToolCallCollector()
  /** UTF-16 units of text and reasoning. */
  #length = 0
  #completion: Completion
  #isFinished = false

  constructor (
    model: string,
    private readonly sink: ModelSink,
    private readonly signal: CancelSignal,
    /** In UTF-16 units; reasoning and tool calls count. */
    private readonly maxAnswer: number,
    private readonly resolve: (completion: Completion) => void,
    private readonly reject: (error: unknown) => void
  ) {
    this.#completion = { model, finishReason: null, toolCalls: this.#toolCalls.calls }
    signal.addEventListener('abort', this, { once: true })
  }

  /** Must be called with the request before its response begins: it is aborted when the completion fails. */
  attach (exchange: Pick<Exchange, 'abort' | 'isSent'>): void {
    this.#exchange = exchange
  }

  /** The signal was aborted. */
  handleEvent (): void {
    if (this.#isFinished) return
    this.#tryFlush()
    if (this.#exchange?.isSent) this.sink.stoppedAfterSending?.()
    this.#fail(this.signal.reason)
  }

  /** Comments, empty deltas and white space keep a connection open, and not the run. */
  get progress (): number {
    return this.#length + this.#toolCalls.length + this.#toolCalls.calls.length + this.#bodyPieces + Number(this.#status > 0) + Number(this.#sawEnd)
  }

  onHead ({ status, headers }: ResponseHead): void {
    this.#status = status
    this.#retryAfter = parseRetryAfter(headers['retry-after'] ?? '')
    if (status === 200 && !headers['content-type']?.includes('application/json')) {
      this.#parser = new SseParser(this)
    }
  }

  onBody (bytes: Buffer, text: string, from: number, to: number): void {
    if (this.#isFinished) return
    if (!this.#parser) return this.#collect(bytes.subarray(from, to))
    try {
      const start = this.#parser.isBetweenEvents ? this.#template.extract(text, from, to, this) : from
      if (start < to) this.#parser.push(bytes.subarray(start, to))
      if (this.#text.length + this.#reasoning.length >= MAX_BUFFERED) this.#flush()
    } catch (error) {
      this.#failReading(error)
    }
  }

  /** Emits all that was read in one turn of the event loop together. */
  onReadsDone (): boolean {
    if (this.#isFinished || (this.#text === '' && this.#reasoning === '')) return false
    this.#flush()
    return true
  }

  onEnd (): void {
    if (this.#isFinished) return
    try {
      if (this.#status !== 200) throw this.#statusError()
      if (this.#parser) this.#parser.end()
      else this.#whole(JSON.parse(Buffer.concat(this.#body).toString()))
    } catch (error) {
      return this.#failReading(error)
    }
    this.#flush(true)
    if (this.#sawEnd) this.#finish(() => this.resolve(this.#completion))
    else this.#fail(errors.gatewayUnavailable())
  }

  onError (error: Error): void {
    if (this.#isFinished) return
    this.#tryFlush(true)
    // The answer is complete; at most its usage was lost.
    if (this.#sawEnd) return this.#finish(() => this.resolve(this.#completion))
    this.#fail(errorOfConnection(error))
  }

  #collect (chunk: Buffer): void {
    const limit = this.#status === 200 ? MAX_JSON_BODY : MAX_ERROR_BODY
    this.#bodyLength += chunk.length
    if (chunk.some(byte => byte > 0x20)) this.#bodyPieces++
    if (this.#bodyLength <= limit) {
      this.#body.push(Buffer.from(chunk))
    } else {
      this.#fail(this.#status === 200 ? errors.gatewayUnavailable() : this.#statusError())
    }
  }

  /** Parses a frame that the template did not extract. */
  onData (data: string): void {
    if (data === '[DONE]') {
      this.#sawEnd = true
      return
    }
    if (data.trim() === '') return
    const frame = JSON.parse(data)
    if (frame?.error) throw errorOfFrame(frame.error)
    const choice = frame?.choices?.[0]
    this.#take(choice?.delta, choice, frame)
    const field = templateFieldOf(choice, frame)
    if (field) this.#template.learn(data, field, choice.delta[field])
  }

  /** Receives the text of a frame that the template extracted. */
  onText (text: string): void {
    this.#addLength(text.length)
    if (this.#template.field === 'content') this.#text += text
    else this.#addReasoning(text)
  }

  #addReasoning (reasoning: string): void {
    // A flush emits reasoning before text, so text that precedes the reasoning is flushed first.
    if (this.#text) this.#flush()
    this.#reasoning += reasoning
  }

  #addLength (length: number): void {
    this.#length += length
    if (this.#length + this.#toolCalls.length > this.maxAnswer) throw errors.gatewayAnswerTooLong()
  }

  /** Reads a completion that came as a single JSON document. */
  #whole (completion: any): void {
    if (completion?.error) throw errorOfFrame(completion.error)
    const choice = completion?.choices?.[0]
    this.#take(choice?.message, choice, completion)
    this.#sawEnd = choice !== undefined
  }

  /** Takes the output of a frame, or of a whole completion. */
  #take (message: any, choice: any, frame: { usage?: ReportedUsage | null }): void {
    const reasoning = reasoningOf(message)
    const content = contentOf(message)
    if (message?.tool_calls) this.#toolCalls.add(message.tool_calls)
    this.#addLength(reasoning.length + content.length)
    if (reasoning) this.#addReasoning(reasoning)
    this.#text += content
    const finishReason = finishReasonOf(choice)
    if (finishReason !== undefined) {
      this.#completion.finishReason = finishReason
      this.#sawEnd = true
    }
    if (frame.usage) this.#completion.usage = usageOf(frame)
    this.#completion.model = modelOf(frame) || this.#completion.model
  }

  /**
   * Emits the buffered output. Unless `isLast`, half of a surrogate pair at the end waits for its other half, so that every
   * event is valid text by itself.
   */
  #flush (isLast = false): void {
    const reasoning = isLast ? this.#reasoning : withoutHalfPair(this.#reasoning)
    const text = isLast ? this.#text : withoutHalfPair(this.#text)
    this.#reasoning = this.#reasoning.slice(reasoning.length)
    this.#text = this.#text.slice(text.length)
    if (reasoning) this.sink.reasoning(toStorable(reasoning))
    if (text) this.sink.text(toStorable(text))
  }

  /** Emits the buffered output before a failure is reported, which must not be hidden by an error of the sink. */
  #tryFlush (isLast = false): void {
    try {
      this.#flush(isLast)
    } catch {}
  }

  #failReading (error: unknown): void {
    this.#tryFlush(true)
    this.#fail(errorOfReading(error))
  }

  #statusError (): Error { return errorOfResponse(this.#status, Buffer.concat(this.#body).toString(), this.#retryAfter) }
  #fail (error: unknown): void {
    this.#finish(() => this.reject(error))
    this.#exchange?.abort()
  }

  #finish (report: () => void): void {
    if (this.#isFinished) return
    this.#isFinished = true
    this.signal.removeEventListener('abort', this)
    report()
  }
}
