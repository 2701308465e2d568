import { errors } from './errors.ts'

/** Levels. Callers send far fewer; functions that recurse over a body, such as JSON.stringify, take far more. */
const MAX_DEPTH = 100

/** @throws {ServiceError} bad_request, if a JSON value is nested more than 100 levels deep. */
export function refuseDeepNesting (value: unknown): void {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw errors.badRequest(`The JSON is nested more than ${MAX_DEPTH} levels deep.`)
    level = level.flatMap(item => item !== null && typeof item === 'object' ? Object.values(item) : [])
  }
}
