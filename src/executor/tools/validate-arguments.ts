import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import { runBounded } from '../../lib/bounded.js'
import type { Tool } from './tool.js'

export type CheckedArguments = { args: Record<string, unknown> } | { problem: string }

/** How many problems a sentence names. */
const MAX_PROBLEMS = 5

/** Characters. The time to compile a schema grows with its size; a larger schema is not checked against. */
const MAX_SCHEMA = 64 * 1024

/** Deeper values overflow the stack of code that walks or serializes them. */
const MAX_DEPTH = 100

/** Milliseconds. A small schema with references between its parts may take forever, and would block the process. */
const MAX_COMPILING = 500
const MAX_VALIDATING = 200

const compiled = new WeakMap<object, ValidateFunction | null>()

/**
 * Checks a model's arguments against the schema of a tool, and adds the schema's defaults.
 * @param note is called once for a schema that cannot be compiled; any object passes then.
 * @returns the arguments, or a sentence that tells the model how to correct them. Never throws.
 */
export function checkArguments (tool: Pick<Tool, 'name' | 'parameters'>, rawJson: string, note?: (problem: string) => void): CheckedArguments {
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

/** Models may send an empty text for a tool without parameters. */
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
    // An asynchronous validator would return a promise, whose rejection nothing handles.
    const { $async, ...rest } = schema as { $async?: unknown }
    const validate = runBounded(() => createAjv().compile(rest), MAX_COMPILING)
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

function describe ({ instancePath, params, message = 'is not valid' }: ErrorObject): string {
  const path = instancePath.slice(1).replaceAll('/', '.')
  const where = path || 'the object'
  const allowed = params?.allowedValues as unknown[] | undefined
  const additional = params?.additionalProperty as string | undefined
  return `${where} ${message}${allowed ? `: ${JSON.stringify(allowed)}` : ''}${additional ? `: ${additional}` : ''}`
}
