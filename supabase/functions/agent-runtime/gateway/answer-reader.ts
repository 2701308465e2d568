import { toStorableText } from '../database.ts'
import { EdgeError, errors } from '../errors.ts'
import type { ReportedUsage } from '../usage.ts'

/** Where a model's words go, all of one network read at once. */
export interface ModelSink {
  text (content: string): void
  reasoning (content: string): void
}

export interface Completion {
  model: string
  /** `stop`, `length` … in the gateway's words; null where it did not say. */
  finishReason: string | null
  usage?: ReportedUsage
}

const MAX_ERROR_TEXT = 300

/** Reads one answer of the gateway as it arrives. */
export class AnswerReader {
  sawEnd = false
  readonly completion: Completion
  #text = ''
  #reasoning = ''

  constructor (model: string, private readonly sink: ModelSink) {
    this.completion = { model, finishReason: null }
  }

  /** The frames of one network read. */
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
    if (frame?.error) throw frameError(frame.error)
    const choice = frame?.choices?.[0]
    const said = choice?.delta ?? choice?.message
    const reasoning = said?.reasoning_content ?? said?.reasoning
    if (typeof reasoning === 'string' && reasoning) {
      // A thought that follows text is told after it.
      if (this.#text) this.flush()
      this.#reasoning += reasoning
    }
    if (typeof said?.content === 'string') this.#text += said.content
    if (typeof choice?.finish_reason === 'string') this.completion.finishReason = choice.finish_reason
    this.sawEnd ||= typeof choice?.finish_reason === 'string' || choice?.message !== undefined
    if (frame?.usage) this.completion.usage = frame.usage
    if (typeof frame?.model === 'string' && frame.model) this.completion.model = frame.model
  }

  /** Half of a surrogate pair waits for its other half, so that every event is text by itself. */
  flush ({ last = false } = {}): void {
    const [reasoning, reasoningRest] = last ? [this.#reasoning, ''] : cutHalfPair(this.#reasoning)
    const [text, textRest] = last ? [this.#text, ''] : cutHalfPair(this.#text)
    this.#reasoning = reasoningRest
    this.#text = textRest
    if (reasoning) this.sink.reasoning(toStorableText(reasoning))
    if (text) this.sink.text(toStorableText(text))
  }
}

function cutHalfPair (text: string): [string, string] {
  return /[\ud800-\udbff]$/.test(text) ? [text.slice(0, -1), text.slice(-1)] : [text, '']
}

/** An error inside a stream that began well has the status, if any, in its `code`. */
function frameError (error: { code?: unknown, status?: unknown, message?: unknown }): EdgeError {
  const status = [error.code, error.status].map(Number).find(code => code >= 400 && code < 600) ?? 502
  return errorOfStatus(status, String(error.message ?? ''), undefined)
}

export function errorOfStatus (status: number, text: string, retryAfter: number | undefined): EdgeError {
  if (status === 429) return errors.gatewayRateLimited().with({ retryAfter })
  if (status === 402) return errors.gatewayPaymentRequired()
  if (status === 401 || status === 403) return errors.gatewayUnauthorized()
  if (status === 408 || status === 504) return errors.gatewayTimeout()
  if (status >= 400 && status < 500) return errors.gatewayRejected(text || `status ${status}`)
  return errors.gatewayUnavailable().with({ retryAfter })
}

/** The sentence in an error body: OpenAI's shape, Ollama's, or plain text; cut to what a person reads. */
export function errorText (body: string): string {
  let text = body
  try {
    const { error, message } = JSON.parse(body)
    const sentence = typeof error === 'string' ? error : error?.message ?? message
    if (typeof sentence === 'string') text = [sentence, error?.param].filter(Boolean).join(' ')
  } catch { /* no JSON: the text itself */ }
  return toStorableText(text.slice(0, MAX_ERROR_TEXT))
}

/** Seconds, from a number of them or from a date; undefined where the header is neither. */
export function parseRetryAfter (value: string | null): number | undefined {
  if (value && /^\d+(\.\d+)?$/.test(value)) return Number(value)
  const date = value && Date.parse(value)
  return date ? Math.max(0, (date - Date.now()) / 1000) : undefined
}
