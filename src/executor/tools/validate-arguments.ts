import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import type { Tool } from './tool.js'

export type Checked = { args: Record<string, unknown> } | { problem: string }

/** So many problems are told at once. */
const MAX_PROBLEMS = 5

/** Compiling takes time by the size of a schema; a larger one is for the model alone. */
const MAX_SCHEMA = 64 * 1024

const compiled = new WeakMap<object, ValidateFunction | null>()

/**
 * A model's arguments for a tool, checked against its schema; what they lack and the schema has a default for is added.
 * @param note hears once of a schema that cannot be checked against; any object passes then.
 * @returns the arguments, or a sentence for the model to mend them by.
 */
export function checkArguments (tool: Pick<Tool, 'name' | 'parameters'>, rawJson: string, note?: (problem: string) => void): Checked {
  const args = parse(rawJson)
  if (!isObject(args)) return { problem: `The arguments of ${tool.name} must be one JSON object.` }
  const validate = validatorOf(tool, note)
  if (!validate || validate(args)) return { args }
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

function validatorOf ({ name, parameters }: Pick<Tool, 'name' | 'parameters'>, note?: (problem: string) => void): ValidateFunction | null {
  const known = compiled.get(parameters)
  if (known !== undefined) return known
  const validate = compile(parameters)
  if (!validate) note?.(`The schema of ${name} cannot be checked against: any object passes.`)
  compiled.set(parameters, validate)
  return validate
}

/** An instance for each schema: two of them may bear one $id, and an instance keeps what it has seen. */
function compile (schema: object): ValidateFunction | null {
  try {
    if (JSON.stringify(schema).length > MAX_SCHEMA) return null
    const ajv = new Ajv({
      strict: false,
      allErrors: true,
      useDefaults: true,
      meta: false,
      validateSchema: false,
      logger: false,
      code: { regExp: anything }
    })
    addFormats.default(ajv, { mode: 'fast' })
    // Somebody else's pattern may take for ever on somebody's text, and the whole process with it.
    for (const keyword of ['pattern', 'patternProperties']) ajv.removeKeyword(keyword)
    return ajv.compile(schema)
  } catch {
    return null
  }
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
