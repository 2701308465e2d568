/** A user who has less than this part of what all users share is not refused because others have the rest. */
const PART = 10

/**
 * Whether a user is to be refused more of what all users share: there is none left, and the user has a tenth of it or more. So
 * nobody is refused for what others have; the whole may be exceeded by a tenth a user. Of few things everybody may have one.
 * @param max how much there is for all users.
 * @param taken how much of it all users have, with what is asked for.
 * @param ofUser how much of it this user has, with what is asked for.
 */
export function isBeyondShare (max: number, taken: number, ofUser: number): boolean {
  return taken > max && ofUser > Math.max(Math.min(1, max), max / PART)
}

/** What users wait with, in the order in which they are served: round by round, one of each. @param queues one a user, in the order of their turns. */
export function inTurn<T> (queues: ReadonlyArray<readonly T[]>): T[] {
  const order: T[] = []
  let left = queues
  for (let round = 0; ; round++) {
    left = left.filter(queue => queue.length > round)
    if (left.length === 0) return order
    for (const queue of left) order.push(queue[round]!)
  }
}
