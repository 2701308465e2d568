import type { ServiceError } from '../errors.ts'
import { toStorable } from '../text.ts'
import type { ReportedUsage } from '../usage.ts'
import { errorOfStatus, Refusal } from './refusals.ts'

/** In UTF-16 units. */
const MAX_LABEL = 200

// Where a frame of a chat completion holds its parts, and when they count. Gateways differ, so every field is checked. The
// functions return strings instead of one object per frame, because the service reads frames by the hundred thousand.

/** The text of a message or delta; empty if it has none. */
export function contentOf (message: any): string {
  return textOf(message?.content)
}

/** The reasoning of a message or delta, under either of its two names; empty if it has none. */
export function reasoningOf (message: any): string {
  return textOf(message?.reasoning_content ?? message?.reasoning)
}

/** The finish reason of a choice; undefined if the choice is not finished. */
export function finishReasonOf (choice: any): string | undefined {
  const reason: unknown = choice?.finish_reason
  return typeof reason === 'string' ? toLabel(reason) : undefined
}

/** The model that a frame names; empty if it names none. */
export function modelOf (frame: any): string {
  return toLabel(textOf(frame?.model))
}

/**
 * The error for the `error` object of a frame or of a whole completion, which began with status 200.
 * @param error its `code` or `status` may be an HTTP status; otherwise it counts as 502.
 */
export function errorOfFrame (error: { code?: unknown, status?: unknown, message?: unknown }): ServiceError {
  const status = [error.code, error.status].map(Number).find(code => code >= 400 && code < 600) ?? 502
  const failure = errorOfStatus(status, { text: textOf(error.message) })
  return failure instanceof Refusal ? failure.toServiceError() : failure
}

/** The usage that a frame reports, without its other fields; undefined if it reports none. */
export function usageOf (frame: any): ReportedUsage | undefined {
  const usage = frame?.usage
  if (typeof usage !== 'object' || usage === null) return undefined
  const { prompt_tokens, completion_tokens, total_tokens } = usage
  return { prompt_tokens, completion_tokens, total_tokens }
}

/** A name as it is kept: in columns and in the log there is no text of any length. */
function toLabel (text: string): string {
  return toStorable(text.slice(0, MAX_LABEL))
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}
