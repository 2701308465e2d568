import { Ajv, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'

/** UTF-16 units of the schemas whose validators are kept, and how many: a validator takes many times its schema. */
const MAX_KEPT_UNITS = 1024 * 1024
const MAX_KEPT = 200

/** Compiled schemas by their JSON. Those that were not used for the longest time are dropped; null cannot be compiled. */
const kept = new Map<string, ValidateFunction | null>()
let keptUnits = 0

/** The validator of a schema, which is compiled once; null if it cannot be compiled. */
export function validatorOf (schema: string): ValidateFunction | null {
  const known = kept.get(schema)
  const validate = known === undefined ? compile(schema) : known
  if (known === undefined) keptUnits += schema.length
  kept.delete(schema)
  kept.set(schema, validate)
  for (const [oldest] of kept) {
    if (kept.size <= MAX_KEPT && keptUnits <= MAX_KEPT_UNITS) break
    kept.delete(oldest)
    keptUnits -= oldest.length
  }
  return validate
}

function compile (schema: string): ValidateFunction | null {
  try {
    // An asynchronous validator would return a promise, whose rejection nothing handles.
    const { $async, ...rest } = JSON.parse(schema) as { $async?: unknown }
    const validate = createAjv().compile(rest)
    return '$async' in validate ? null : validate
  } catch {
    return null
  }
}

/** Each schema has its own instance: an instance keeps its schemas, and two of them may have the same $id. */
function createAjv (): Ajv {
  const ajv = new Ajv({
    strict: false,
    allErrors: true,
    useDefaults: true,
    meta: false,
    validateSchema: false,
    // With inlining, parts that refer to each other twice would generate endless code.
    inlineRefs: false,
    logger: false,
    code: { regExp: anyPattern }
  })
  addFormats.default(ajv, { mode: 'fast' })
  // A foreign pattern may take forever on some text, and so may the pattern of this format.
  for (const keyword of ['pattern', 'patternProperties']) ajv.removeKeyword(keyword)
  delete ajv.formats.url
  return ajv
}

/** A regular expression that matches everything: all names pass `patternProperties`. */
const anyPattern = Object.assign(() => ({ test: () => true }), { code: 'anything' })
