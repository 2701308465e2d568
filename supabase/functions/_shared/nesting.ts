import { errors } from './errors.ts'

/** Levels. Callers send far fewer; functions that recurse over a value, such as JSON.stringify, take far more. */
export const MAX_DEPTH = 100

/** @throws {ServiceError} bad_request, if a JSON value is nested more than 100 levels deep. */
export function refuseDeepNesting (value: unknown): void {
  if (isDeeperThan(MAX_DEPTH, value)) throw tooDeep()
}

export function tooDeep () {
  return errors.badRequest(`The JSON is nested more than ${MAX_DEPTH} levels deep.`)
}

/** Looks at each value once, and makes no copy of any. */
function isDeeperThan (levels: number, value: unknown): boolean {
  if (value === null || typeof value !== 'object') return false
  if (levels === 0) return true
  if (Array.isArray(value)) return value.some(item => isDeeperThan(levels - 1, item))
  // What JSON.parse makes inherits nothing that is enumerable.
  for (const name in value) if (isDeeperThan(levels - 1, (value as Record<string, unknown>)[name])) return true
  return false
}
