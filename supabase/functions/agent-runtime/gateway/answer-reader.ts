import { contentOf, errorOfFrame, finishReasonOf, modelOf, reasoningOf, usageOf } from '../../_shared/gateway/frames.ts'
import { toStorable, withoutHalfPair } from '../../_shared/text.ts'
import type { ReportedUsage } from '../../_shared/usage.ts'

/** Receives the model's output, all of one network read at once. */
export interface ModelSink {
  text (content: string): void
  reasoning (content: string): void
}

export interface Completion {
  model: string
  /** `stop`, `length` …, as the gateway calls it; null if it gave none. */
  finishReason: string | null
  usage?: ReportedUsage
}

/** Reads one answer of the gateway as it arrives. */
export class AnswerReader {
  sawEnd = false
  readonly completion: Completion
  #text = ''
  #reasoning = ''

  constructor (model: string, private readonly sink: ModelSink) {
    this.completion = { model, finishReason: null }
  }

  /** Takes the frames of one network read. */
  take (frames: string[]): void {
    try {
      for (const data of frames) this.#frame(data)
    } finally {
      this.flush()
    }
  }

  #frame (data: string): void {
    if (data === '[DONE]') {
      this.sawEnd = true
      return
    }
    const frame = JSON.parse(data)
    if (frame?.error) throw errorOfFrame(frame.error)
    const choice = frame?.choices?.[0]
    const message = choice?.delta ?? choice?.message
    const reasoning = reasoningOf(message)
    if (reasoning) {
      // Reasoning that follows text is emitted after it.
      if (this.#text) this.flush()
      this.#reasoning += reasoning
    }
    this.#text += contentOf(message)
    const finishReason = finishReasonOf(choice)
    if (finishReason !== undefined) this.completion.finishReason = finishReason
    this.sawEnd ||= finishReason !== undefined || choice?.message !== undefined
    if (frame?.usage) this.completion.usage = usageOf(frame)
    this.completion.model = modelOf(frame) || this.completion.model
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
