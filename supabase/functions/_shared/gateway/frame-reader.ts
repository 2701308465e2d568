import { errors } from '../errors.ts'
import { addReport, type ReportedUsage } from '../usage.ts'
import { contentOf, endingOf, failureOf, hasImage, hasOutput, isRefusal, modelOf, reasoningOf, usageOf } from './frames.ts'

const BRACE = 123
/** The data that ends a stream; not all gateways write it alike. */
const DONE = /^\s*\[\s*done\s*\]\s*$/i
/** The data of a frame, or of a list of frames. All else, such as a comment in the wrong place, is none. */
const FRAME = /^\s*[{[]/
/** UTF-16 units of a gateway's sentence. */
const MAX_SAID = 300

/** Receives what frames add to the answer. */
export interface FrameOutput {
  /** UTF-16 units of all output so far. */
  readonly outputLength: number
  /** @param message the delta or message, for its other fields. */
  addOutput (content: string, reasoning: string, message: any): void
}

/** What is known of an answer beside its text. */
export interface AnswerEnd {
  /** As the gateway reports it, or as it was requested. */
  model: string
  /** One of the protocol's, such as `stop` or `length`, or as the gateway calls it; null if it gives none. */
  finishReason: string | null
  usage?: ReportedUsage
}

/**
 * Reads the frames of one answer: passes on their output, and keeps its end, its model and its usage. After the end of an answer
 * nothing can undo it: errors and frames that are cut off are passed over.
 */
export class FrameReader {
  #model: string
  /** One of the protocol's. */
  #finishReason: string | null = null
  /** The last one that is none of these. */
  #unknownReason = ''
  #usage: ReportedUsage | undefined
  #isEnded = false
  #isDone = false
  /** The length of the output at that. Output that follows takes it back; NaN if that has happened, for then it comes with every delta. */
  #lengthAtUnknown = -1
  /** The length of the output that came in messages instead of deltas. */
  #lengthOfMessages = 0
  #isRefusal = false

  /** @param model that was asked. */
  constructor (model: string, private readonly output: FrameOutput) {
    this.#model = model
  }

  /** Whether the answer is whole, however its connection ends. */
  get hasEnded (): boolean { return this.#isEnded || this.#isAtUnknown }

  /** Whether the stream has said that nothing follows. */
  get isDone (): boolean { return this.#isDone }

  /** The end, once the answer has ended: another object at each call. */
  get end (): AnswerEnd {
    const reason = this.#finishReason ?? (this.#isAtUnknown ? this.#unknownReason : null)
    // A model's refusal ends by `stop`, and is no answer.
    const finishReason = this.#isRefusal && (reason === null || reason === 'stop') ? 'content_filter' : reason
    const end: AnswerEnd = { model: this.#model, finishReason }
    if (this.#usage) end.usage = this.#usage
    return end
  }

  /**
   * Reads the data of an event.
   * @returns the frame; undefined if the data is none.
   * @throws {ServiceError} `gateway_…`, if it tells an error.
   * @throws {SyntaxError} if it is cut off.
   */
  read (data: string): any {
    if (this.#isDone) return undefined
    if (data.charCodeAt(0) !== BRACE) {
      if (DONE.test(data)) this.#isEnded = this.#isDone = true
      if (this.#isEnded || !FRAME.test(data)) return undefined
    }
    const frame = this.#parse(data)
    if (typeof frame === 'object' && frame !== null) this.#take(frame)
    return frame ?? undefined
  }

  /**
   * Reads a completion that came as a single JSON document.
   * @throws {ServiceError} `gateway_…`, if it tells an error or has no answer.
   * @throws {SyntaxError} if it is no JSON.
   */
  readWhole (json: string): void {
    const parsed = JSON.parse(json)
    const document = Array.isArray(parsed) ? parsed[0] : parsed
    if (typeof document === 'object' && document !== null) this.#take(document)
    this.#isEnded = Boolean(document?.choices?.[0])
    if (this.#isEnded) return
    const said = typeof document?.message === 'string' ? `: ${document.message.slice(0, MAX_SAID)}` : ''
    throw errors.gatewayUnavailable().with({ reason: `the AI gateway answered without a completion${said}` })
  }

  #parse (data: string): any {
    try {
      const frame = JSON.parse(data)
      return Array.isArray(frame) ? frame[0] : frame
    } catch (error) {
      if (this.hasEnded) return undefined
      throw error
    }
  }

  #take (frame: any): void {
    const failure = failureOf(frame)
    if (failure && !this.#isEnded) throw failure
    const choice = frame.choices?.[0]
    if (choice) this.#takeChoice(choice)
    const usage = usageOf(frame)
    if (usage) this.#usage = addReport(this.#usage, usage)
    this.#model = modelOf(frame) || this.#model
  }

  #takeChoice (choice: any): void {
    const message = this.#messageOf(choice)
    if (message) this.#takeMessage(message)
    if (message && message === choice.message) this.#lengthOfMessages = this.output.outputLength
    const ending = endingOf(choice)
    if (ending?.kind === 'unknown') return this.#noteUnknown(ending.reason)
    if (ending?.kind !== 'known') return
    this.#isEnded = true
    this.#finishReason ??= ending.reason
  }

  get #isAtUnknown (): boolean { return this.#lengthAtUnknown === this.output.outputLength }

  #noteUnknown (reason: string): void {
    this.#lengthAtUnknown = this.#lengthAtUnknown === -1 || this.#isAtUnknown ? this.output.outputLength : NaN
    this.#unknownReason = reason
  }

  /** A gateway may give messages instead of deltas, or after them the whole message once more. */
  #messageOf ({ delta, message }: any): any {
    if (!message || hasOutput(delta)) return delta
    return this.output.outputLength === this.#lengthOfMessages ? message : delta
  }

  #takeMessage (message: any): void {
    if (hasImage(message)) throw errors.gatewayImageAnswer()
    if (isRefusal(message)) this.#isRefusal = true
    this.output.addOutput(contentOf(message), reasoningOf(message), message)
  }
}
