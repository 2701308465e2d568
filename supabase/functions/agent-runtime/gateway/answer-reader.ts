import { type AnswerEnd, type FrameOutput, FrameReader } from '../../_shared/gateway/frame-reader.ts'
import { toStorable, withoutHalfPair } from '../../_shared/text.ts'

/** Receives the model's output, all of one network read at once. */
export interface ModelSink {
  text (content: string): void
  reasoning (content: string): void
}

/** Reads one answer of the gateway as it arrives. */
export class AnswerReader implements FrameOutput {
  outputLength = 0
  readonly #frames: FrameReader
  #text = ''
  #reasoning = ''

  constructor (model: string, private readonly sink: ModelSink) {
    this.#frames = new FrameReader(model, this)
  }

  get hasEnded (): boolean { return this.#frames.hasEnded }
  /** Whether the stream has said that nothing follows, though some gateways leave it open. */
  get isDone (): boolean { return this.#frames.isDone }

  /** The end of an answer that has ended. */
  get end (): AnswerEnd { return this.#frames.end }

  /** Takes the frames of one network read. */
  take (frames: string[]): void {
    try {
      for (const data of frames) this.#frames.read(data)
    } finally {
      this.flush()
    }
  }

  /** Takes an answer that is a single JSON document. */
  takeWhole (json: string): void {
    this.#frames.readWhole(json)
  }

  addOutput (content: string, reasoning: string): void {
    this.outputLength += content.length + reasoning.length
    // Reasoning that follows text is emitted after it.
    if (reasoning && this.#text) this.flush()
    this.#reasoning += reasoning
    this.#text += content
  }

  /** Emits what has been gathered. Half of a surrogate pair waits for its other half unless this is the last flush. */
  flush ({ last = false } = {}): void {
    const reasoning = last ? this.#reasoning : withoutHalfPair(this.#reasoning)
    const text = last ? this.#text : withoutHalfPair(this.#text)
    this.#reasoning = this.#reasoning.slice(reasoning.length)
    this.#text = this.#text.slice(text.length)
    if (reasoning) this.sink.reasoning(toStorable(reasoning))
    if (text) this.sink.text(toStorable(text))
  }
}
