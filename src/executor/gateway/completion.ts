import { errors } from '#shared/errors.ts'
import { errorOfCutOff, errorOfReading } from '#shared/gateway/answer-form.ts'
import { type AnswerEnd, type FrameOutput, FrameReader } from '#shared/gateway/frame-reader.ts'
import { nameOfReasoning, toolCallsOf } from '#shared/gateway/frames.ts'
import { readRetryAfter } from '#shared/http/retry-after.ts'
import type { ToolCall } from '#shared/messages.ts'
import { toStorable, withoutHalfPair } from '#shared/text.ts'
import type { CancelListener, CancelSignal } from '../../lib/cancellation.js'
import { type AnswerParser, type AnswerReader, UnknownBody } from './answer-body.js'
import { DeltaTemplate, templateFieldOf, type TextReader } from './delta-template.js'
import { ErrorBody } from './error-body.js'
import { ExtraFields } from './extra-fields.js'
import { errorOfConnection, errorOfResponse } from './gateway-errors.js'
import type { Exchange, ResponseHandler } from './http/exchange.js'
import type { ResponseHead } from './http/response-head.js'
import { ToolCallCollector } from './tool-calls.js'

/** Receives the output of a model in batches: all that was read in one turn of the event loop. */
export interface ModelSink {
  text (content: string): void
  reasoning (content: string): void
  /** Whether the model may call tools, so that the fields which have to go back with their results are collected. */
  readonly mayCallTools?: boolean
  /** The signal was aborted before the end of the answer, and the gateway has the request. */
  stoppedAfterSending? (): void
}

/** The end of a completed answer; its text went to the sink. */
export interface Completion extends AnswerEnd {
  /** The tool calls that the model requests, in order; empty for a final answer. */
  toolCalls: ToolCall[]
  /** The model requested more calls than are kept. */
  hasMoreCalls?: true
  /**
   * The fields of the model's message that the gateway wants back with the results of its tool calls, such as
   * `reasoning_content`; undefined if there are none, or no tool calls.
   */
  extra?: Record<string, unknown>
}

/** UTF-16 units above which buffered text is emitted within a turn of the event loop, to keep events small. */
const MAX_BUFFERED = 16 * 1024

/**
 * Reads one response of the gateway, a stream of frames or a single JSON document, and passes its output to a sink while
 * it arrives. Frames that contain only text are extracted by a template (delta-template.ts); all others are parsed.
 * Failures become errors in gateway-errors.ts.
 */
export class CompletionHandler implements ResponseHandler, AnswerReader, TextReader, FrameOutput, CancelListener {
  #exchange?: Pick<Exchange, 'abort' | 'isSent'>
  #status = 0
  #retryAfter?: number
  #parser?: AnswerParser
  #template = new DeltaTemplate()
  /** Of a response that is no completion. */
  #body: ErrorBody | undefined
  #text = ''
  #reasoning = ''
  readonly #frames: FrameReader
  #toolCalls = new ToolCallCollector()
  #extra: ExtraFields | undefined
  /** Under which name the gateway gives its reasoning; empty if in parts of the content, which do not go back. */
  #reasoningName = ''
  /** UTF-16 units of text and reasoning. */
  #length = 0
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
    this.#frames = new FrameReader(model, this)
    if (sink.mayCallTools) this.#extra = new ExtraFields()
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

  get outputLength (): number { return this.#length + this.#toolCalls.length }

  /** Comments, empty deltas and white space keep a connection open, and not the run. */
  get progress (): number {
    return this.outputLength + this.#toolCalls.calls.length + ((this.#body ?? this.#parser)?.pieces ?? 0) + Number(this.#status > 0) + Number(this.#frames.hasEnded)
  }

  onHead ({ status, headers }: ResponseHead): void {
    this.#status = status
    this.#retryAfter = readRetryAfter(name => headers[name])
    if (status === 200) this.#parser = new UnknownBody(this, parser => { this.#parser = parser })
  }

  onBody (bytes: Buffer, text: string, from: number, to: number): void {
    if (this.#isFinished) return
    if (!this.#parser) return this.#collect(bytes.subarray(from, to))
    try {
      const start = this.#template.isLearned && this.#parser.isBetweenEvents ? this.#template.extract(text, from, to, this) : from
      if (start < to) this.#parser.push(bytes.subarray(start, to))
      // Some gateways leave a response open after it.
      if (start < to && this.#frames.isDone) return this.onEnd()
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
      this.#parser!.end()
    } catch (error) {
      return this.#failReading(error)
    }
    this.#flush(true)
    if (this.#frames.hasEnded) this.#complete()
    else this.#fail(errorOfCutOff())
  }

  onError (error: Error): void {
    if (this.#isFinished) return
    this.#tryFlush(true)
    // The answer is complete; at most its usage was lost.
    if (this.#frames.hasEnded) return this.#complete()
    this.#fail(errorOfConnection(error))
  }

  #collect (chunk: Buffer): void {
    this.#body ??= new ErrorBody()
    if (!this.#body.add(chunk)) this.#fail(this.#statusError())
  }

  /** Parses a frame that the template did not extract. */
  onData (data: string): void {
    const frame = this.#frames.read(data)
    if (frame === undefined || !this.#template.isLearning) return
    const choice = frame.choices?.[0]
    const field = templateFieldOf(choice, frame)
    if (field) this.#template.learn(data, field, choice.delta[field])
  }

  onDocument (json: string): void { this.#frames.readWhole(json) }

  /** Takes the output of a frame, or of a whole completion. */
  addOutput (content: string, reasoning: string, message: any): void {
    this.#extra?.add(message)
    this.#toolCalls.add(toolCallsOf(message))
    this.#addLength(reasoning.length + content.length)
    if (reasoning) this.#addReasoning(reasoning, nameOfReasoning(message))
    this.#text += content
  }

  /** Receives the text of a frame that the template extracted. */
  onText (text: string): void {
    this.#addLength(text.length)
    if (this.#template.field === 'content') this.#text += text
    else this.#addReasoning(text)
  }

  #addReasoning (reasoning: string, name = this.#reasoningName): void {
    // A flush emits reasoning before text, so text that precedes the reasoning is flushed first.
    if (this.#text) this.#flush()
    this.#reasoning += reasoning
    this.#reasoningName = name
  }

  #addLength (length: number): void {
    this.#length += length
    if (this.outputLength > this.maxAnswer) throw errors.gatewayAnswerTooLong()
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
    if (reasoning) this.#emitReasoning(toStorable(reasoning))
    if (text) this.sink.text(toStorable(text))
  }

  #emitReasoning (reasoning: string): void {
    this.#extra?.appendReasoning(this.#reasoningName, reasoning)
    this.sink.reasoning(reasoning)
  }

  /** Emits the buffered output before a failure is reported, which must not be hidden by an error of the sink. */
  #tryFlush (isLast = false): void {
    try {
      this.#flush(isLast)
    } catch {}
  }

  #failReading (error: unknown): void {
    this.#tryFlush(true)
    const isAfterEnd = error instanceof RangeError && this.#frames.hasEnded
    if (!isAfterEnd) return this.#fail(errorOfReading(error))
    this.#complete()
    this.#exchange?.abort()
  }

  #statusError (): Error { return errorOfResponse(this.#status, `${this.#body ?? ''}`, this.#retryAfter) }

  /** A turn that calls tools goes on, and the gateway wants back all of what it has given. */
  #complete (): void {
    const { calls, hasMore } = this.#toolCalls
    const extra = calls.length > 0 ? this.#extra : undefined
    if (extra?.isTooLong) return this.#fail(errors.gatewayAnswerTooLong())
    const fields = extra?.toObject()
    const completion: Completion = Object.assign(this.#frames.end, { toolCalls: calls }, hasMore && { hasMoreCalls: true as const }, fields && { extra: fields })
    this.#finish(() => this.resolve(completion))
  }

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
