import { errors, ServiceError } from '#shared/errors.ts'
import { errorOfStatus, errorText, Refusal } from '#shared/refusals.ts'

// Every failure of the gateway becomes a ServiceError here, whose sentence the caller reads; a Refusal becomes one in
// gateway.ts, unless the request can be adapted to what the refusal says.

/**
 * A response with another status than 200.
 * @param body its text, in whatever shape the gateway gives it.
 * @param retryAfter seconds, from its `retry-after` header.
 */
export function errorOfResponse (status: number, body: string, retryAfter?: number): Error {
  return errorOfStatus(status, errorText(body), retryAfter)
}

/** An error inside a stream that began with status 200: its status, if it has one, is in `code` or `status`. */
export function errorOfFrame ({ code, status, message }: { code?: unknown, message?: unknown, status?: unknown }): ServiceError {
  const failure = errorOfStatus([code, status].map(Number).find(value => value >= 400 && value < 600) ?? 502, String(message ?? ''))
  return failure instanceof Refusal ? failure.toServiceError() : failure as ServiceError
}

/** A connection that could not be opened, broke, or was silent for too long. */
export function errorOfConnection (error: Error): ServiceError {
  return (/Timeout/.test(error.name) ? errors.gatewayTimeout() : errors.gatewayUnavailable()).with({ cause: error })
}

/** A response that cannot be parsed is the gateway's failure; an error that already has its meaning passes through. */
export function errorOfReading (error: unknown): unknown {
  return error instanceof Refusal || error instanceof ServiceError ? error : errors.gatewayUnavailable().with({ cause: error })
}
