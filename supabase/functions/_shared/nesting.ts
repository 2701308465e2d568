import { errors } from './errors.ts'

/** Deeper than anything callers send; what recurses over a body, as JSON.stringify does, is far from its limit here. */
const MAX_DEPTH = 100

/** Refuses JSON that is nested out of all reason. */
export function refuseDeepNesting (value: unknown): void {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw errors.badRequest(`The JSON is nested more than ${MAX_DEPTH} levels deep.`)
    level = level.flatMap(item => item !== null && typeof item === 'object' ? Object.values(item) : [])
  }
}
