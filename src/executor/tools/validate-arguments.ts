import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import { runBounded } from '../../lib/bounded.js'
import type { Tool } from './tool.js'

export type Checked = { args: Record<string, unknown> } | { problem: string }

/** So many problems are told at once. */
const MAX_PROBLEMS = 5

/** Compiling takes time by the size of a schema; a larger one is for the model alone. */
const MAX_SCHEMA = 64 * 1024

/** What is deeper overflows the stack of whoever writes or walks it. */
const MAX_DEPTH = 100

/** Milliseconds: a small schema whose parts refer to each other can take for ever, and the whole process with it. */
const MAX_COMPILING = 500
const MAX_VALIDATING = 200

const compiled = new WeakMap<object, ValidateFunction | null>()

/**
 * A model's arguments for a tool, checked against its schema; what they lack and the schema has a default for is added.
 * @param note hears once of a schema that cannot be checked against; any object passes then.
 * @returns the arguments, or a sentence for the model to mend them by; never throws.
 */
export function checkArguments (tool: Pick<Tool, 'name' | 'parameters'>, rawJson: string, note?: (problem: string) => void): Checked {
  const args = parse(rawJson)
  if (!isObject(args)) return { problem: `The arguments of ${tool.name} must be one JSON object.` }
  if (isDeeper(args, MAX_DEPTH)) return { problem: `The arguments of ${tool.name} are nested deeper than ${MAX_DEPTH} levels.` }
  const validate = validatorOf(tool, note)
  if (!validate) return { args }
  try {
    if (runBounded(() => validate(args), MAX_VALIDATING)) return { args }
  } catch {
    return { problem: `The arguments of ${tool.name} are too much to check against its schema.` }
  }
  const problems = (validate.errors ?? []).slice(0, MAX_PROBLEMS).map(describe)
  return { problem: `The arguments of ${tool.name} do not fit: ${[...new Set(problems)].join('; ')}.` }
}

/** Models send nothing where a tool takes nothing. */
function parse (json: string): unknown {
  try {
    return json.trim() === '' ? {} : JSON.parse(json)
  } catch {
    return undefined
  }
}

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isDeeper (value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some(part => isDeeper(part, levels - 1))
}

function validatorOf ({ name, parameters }: Pick<Tool, 'name' | 'parameters'>, note?: (problem: string) => void): ValidateFunction | null {
  const known = compiled.get(parameters)
  if (known !== undefined) return known
  const validate = compile(parameters)
  if (!validate) note?.(`The schema of ${name} cannot be checked against: any object passes.`)
  compiled.set(parameters, validate)
  return validate
}

function compile (schema: object): ValidateFunction | null {
  try {
    if (JSON.stringify(schema).length > MAX_SCHEMA) return null
    // One that is to be awaited would give a promise, which is no answer here, and whose rejection is heard by nobody.
    const { $async, ...rest } = schema as { $async?: unknown }
    const validate = runBounded(() => createAjv().compile(rest), MAX_COMPILING)
    return '$async' in validate ? null : validate
  } catch {
    return null
  }
}

/** An instance for each schema: two of them may bear one $id, and an instance keeps what it has seen. */
function createAjv (): Ajv {
  const ajv = new Ajv({
    strict: false,
    allErrors: true,
    useDefaults: true,
    meta: false,
    validateSchema: false,
    // Written out at each place that refers to it, a part that refers to others twice makes endless code.
    inlineRefs: false,
    logger: false,
    code: { regExp: anything }
  })
  addFormats.default(ajv, { mode: 'fast' })
  // Somebody else's pattern may take for ever on somebody's text, and so may that of this format.
  for (const keyword of ['pattern', 'patternProperties']) ajv.removeKeyword(keyword)
  delete ajv.formats.url
  return ajv
}

/** Where a pattern says which names are allowed, all are. */
const anything = Object.assign(() => ({ test: () => true }), { code: 'anything' })

function describe ({ instancePath, params, message = 'is not valid' }: ErrorObject): string {
  const path = instancePath.slice(1).replaceAll('/', '.')
  const where = path || 'the object'
  const allowed = params?.allowedValues as unknown[] | undefined
  const additional = params?.additionalProperty as string | undefined
  return `${where} ${message}${allowed ? `: ${JSON.stringify(allowed)}` : ''}${additional ? `: ${additional}` : ''}`
}
