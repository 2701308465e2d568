const ATTEMPT_SPAN = 1_000_000_000

/**
 * Where the numbers of an attempt begin. What a process that died had told last, nobody knows: the next attempt begins
 * beyond anything it can have said, so that no number is ever used twice.
 */
export function firstSeq (attempt: number): number {
  return (attempt - 1) * ATTEMPT_SPAN + 1
}

/** The attempt that tells an event of this number. */
export function attemptOf (seq: number): number {
  return Math.floor((seq - 1) / ATTEMPT_SPAN) + 1
}
