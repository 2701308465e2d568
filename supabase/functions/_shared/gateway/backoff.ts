import { ServiceError } from '../errors.ts'

/** In milliseconds. */
const FIRST_BACKOFF = 500
/** In milliseconds. If the gateway's `retry-after` is longer, there is no further try. */
const MAX_BACKOFF = 20_000

/**
 * Milliseconds before a model is asked again after a failure; undefined if it is not. Half of the backoff is random, so that
 * runs that failed together do not retry together.
 * @param tries how often it was asked.
 * @param maxTries how often it is asked at most.
 */
export function pauseBefore (error: unknown, tries: number, maxTries: number): number | undefined {
  if (!(error instanceof ServiceError) || !error.isRetryable || tries >= maxTries) return undefined
  const asked = (error.retryAfter ?? 0) * 1000
  if (asked > MAX_BACKOFF) return undefined
  const backoff = Math.min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** (tries - 1))
  return Math.round(Math.max(asked, backoff * (0.5 + Math.random() / 2)))
}
