import { errors, ServiceError } from '#shared/errors.ts'
import { errorOfStatus, readErrorBody } from '#shared/gateway/refusals.ts'

// Here the failures of the gateway become errors with the sentence that the caller reads; the sentences themselves are in
// #shared/errors.ts. An error within a stream is mapped by `errorOfFrame` in #shared/gateway/frames.ts. A Refusal becomes such
// an error in gateway.ts, if the request cannot be adapted and repeated.

/**
 * Maps a response whose status is not 200.
 * @param body the JSON of OpenAI and others, or plain text.
 * @param retryAfter in seconds, from the `retry-after` header.
 */
export function errorOfResponse (status: number, body: string, retryAfter?: number): Error {
  return errorOfStatus(status, readErrorBody(body), retryAfter)
}

/** Maps the error of a connection that could not be opened, broke, or was silent for too long. */
export function errorOfConnection (error: Error): ServiceError {
  return (/Timeout/.test(error.name) ? errors.gatewayTimeout() : errors.gatewayUnavailable()).with({ cause: error })
}
