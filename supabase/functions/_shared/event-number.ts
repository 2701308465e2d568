const ATTEMPT_SPAN = 1_000_000_000

/**
 * The number of an attempt's first event. Nobody knows which event a process emitted last before it died, so the next
 * attempt starts beyond any number that it can have used.
 */
export function firstSeq (attempt: number): number {
  return (attempt - 1) * ATTEMPT_SPAN + 1
}

/** The attempt that emitted the event of this number. */
export function attemptOf (seq: number): number {
  return Math.floor((seq - 1) / ATTEMPT_SPAN) + 1
}
