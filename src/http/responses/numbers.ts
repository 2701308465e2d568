import { attemptOf, firstSeq } from '#shared/event-number.ts'

/** How many numbers an event of a run has for what it becomes; few need more than one. */
const SLOTS = 16
/** How many numbers an attempt has: small enough that those of the first ones fit into 32 bits. */
const ATTEMPT_NUMBERS = 2 ** 27

/** The first `sequence_number` of what an event becomes, whoever reads it and whenever. Number 0 is that of `response.created`. */
export function firstNumberOf (seq: number): number {
  const attempt = attemptOf(seq)
  return (attempt - 1) * ATTEMPT_NUMBERS + (seq - firstSeq(attempt) + 1) * SLOTS
}

/** Whether a number can be of an earlier attempt than an event: what it counted is gone. */
export function isBeforeAttempt (number: number, seq: number): boolean {
  return number >= SLOTS && Math.floor(number / ATTEMPT_NUMBERS) + 1 < attemptOf(seq)
}
