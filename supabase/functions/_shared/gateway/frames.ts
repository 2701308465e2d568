import type { ServiceError } from '../errors.ts'
import { errorOfStatus, Refusal } from './refusals.ts'

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
  return typeof reason === 'string' ? reason : undefined
}

/** The model that a frame names; empty if it names none. */
export function modelOf (frame: any): string {
  return textOf(frame?.model)
}

/**
 * The error for the `error` object of a frame or of a whole completion, which began with status 200.
 * @param error its `code` or `status` may be an HTTP status; otherwise it counts as 502.
 */
export function errorOfFrame (error: { code?: unknown, status?: unknown, message?: unknown }): ServiceError {
  const status = [error.code, error.status].map(Number).find(code => code >= 400 && code < 600) ?? 502
  const failure = errorOfStatus(status, { text: String(error.message ?? '') })
  return failure instanceof Refusal ? failure.toServiceError() : failure
}

function textOf (value: unknown): string {
  return typeof value === 'string' ? value : ''
}
