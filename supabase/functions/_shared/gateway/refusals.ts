import { errors, type ServiceError } from '../errors.ts'
import { toStorable } from '../text.ts'

/** Characters of a gateway's sentence: as many as are looked through for quotes, and as many as are shown. */
const MAX_TEXT = 1_000
const MAX_SHOWN = 300

/** A 4xx answer of the gateway to a request, with its status and sentence. */
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
    return errors.gatewayRejected().with({ reason: sayStatus(this.status, this.text) })
  }
}

/**
 * The error for a gateway's answer that is not a completion.
 * @param whole the sentence in its body; its first 1,000 characters are kept.
 * @param retryAfter seconds, if the answer has a Retry-After header.
 */
export function errorOfStatus (status: number, whole: string, retryAfter?: number): ServiceError | Refusal {
  const text = toStorable(whole.slice(0, MAX_TEXT))
  const reason = sayStatus(status, text)
  if (status === 429) return errors.gatewayRateLimited().with({ retryAfter, reason })
  if (status === 402) return errors.gatewayPaymentRequired().with({ reason })
  if (status === 401 || status === 403) return errors.gatewayUnauthorized().with({ reason })
  if (status === 408 || status === 504) return errors.gatewayTimeout().with({ reason })
  if (status >= 400 && status < 500) return new Refusal(status, text)
  return errors.gatewayUnavailable().with({ retryAfter, reason })
}

function sayStatus (status: number, text: string): string {
  return `the AI gateway answered ${status}${text && `: ${text}`}`
}

/** The sentence in an error body, which is OpenAI's or Ollama's JSON or plain text. At most 300 characters. */
export function errorText (body: string): string {
  let text = body
  try {
    const { error, message } = JSON.parse(body)
    const sentence = typeof error === 'string' ? error : error?.message ?? message
    if (typeof sentence === 'string') text = [sentence, error?.param].filter(Boolean).join(' ')
  } catch { /* not JSON: keep the text */ }
  return toStorable(text.slice(0, MAX_SHOWN))
}
