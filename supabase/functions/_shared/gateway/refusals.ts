import { errors, ServiceError } from '../errors.ts'
import { toStorable } from '../text.ts'

/** The gateway's own 4xx to what was asked. */
export class Refusal extends Error {
  constructor (readonly status: number, readonly text: string) {
    super(text)
  }

  get mayBeDialect (): boolean {
    return this.status === 400 || this.status === 422
  }

  get isUnknownModel (): boolean {
    return this.status === 404 || (this.status === 400 && /model/i.test(this.text))
  }

  toServiceError (): ServiceError {
    return errors.gatewayRejected(this.text || `status ${this.status}`)
  }
}

/**
 * What an answer that is none means.
 * @param text the sentence in its body.
 * @param retryAfter seconds, where it said so.
 */
export function errorOfStatus (status: number, text: string, retryAfter?: number): Error {
  if (status === 429) return errors.gatewayRateLimited().with({ retryAfter })
  if (status === 402) return errors.gatewayPaymentRequired()
  if (status === 401 || status === 403) return errors.gatewayUnauthorized()
  if (status === 408 || status === 504) return errors.gatewayTimeout()
  if (status >= 400 && status < 500) return new Refusal(status, text)
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
  return toStorable(text.slice(0, 300))
}

/** Seconds, from a number of them or from a date; undefined where the header is neither. */
export function parseRetryAfter (value: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value)
  const date = value && Date.parse(value)
  return date ? Math.max(0, (date - Date.now()) / 1000) : undefined
}
