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
