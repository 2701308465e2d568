import type { ErrorObject } from 'ajv'
import { validatorOf } from './compile.js'

/** The arguments, or a sentence that tells the model how to correct them. */
export type CheckedArguments =
  | { args: Record<string, unknown>, /** Any object passed, since the schema cannot be compiled. */ isUnchecked?: true }
  | { problem: string }

/** A call of the model. */
export interface ArgumentsToCheck {
  /** The tool's name, for the sentence. */
  name: string
  /** JSON; null if any object passes. */
  schema: string | null
  /** As the model wrote them. */
  json: string
}

/** How many problems a sentence names, and the UTF-16 units of each. */
const MAX_PROBLEMS = 5
const MAX_PROBLEM = 300

/** Deeper values overflow the stack of code that walks or serializes them. */
const MAX_DEPTH = 100

/**
 * Checks a model's arguments against the schema of a tool, and adds the schema's defaults. How long that takes is for the
 * schema to say, perhaps for ever: only the worker thread calls it.
 */
export function checkArguments ({ name, schema, json }: ArgumentsToCheck): CheckedArguments {
  const args = parse(json)
  if (!isObject(args)) return { problem: `The arguments of ${name} must be one JSON object.` }
  if (isDeeper(args, MAX_DEPTH)) return { problem: `The arguments of ${name} are nested deeper than ${MAX_DEPTH} levels.` }
  const validate = schema === null ? null : validatorOf(schema)
  if (!validate) return { args, isUnchecked: true }
  try {
    if (validate(args)) return { args }
  } catch {
    return { problem: tooMuch(name) }
  }
  const problems = (validate.errors ?? []).slice(0, MAX_PROBLEMS).map(describe)
  return { problem: `The arguments of ${name} do not fit: ${[...new Set(problems)].join('; ')}.` }
}

export function tooMuch (name: string): string {
  return `The arguments of ${name} are too much to check against its schema.`
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

function describe ({ instancePath, params, message = 'is not valid' }: ErrorObject): string {
  const path = instancePath.slice(1).replaceAll('/', '.')
  const where = path || 'the object'
  const allowed = params?.allowedValues as unknown[] | undefined
  const additional = params?.additionalProperty as string | undefined
  const problem = `${where} ${message}${allowed ? `: ${JSON.stringify(allowed)}` : ''}${additional ? `: ${additional}` : ''}`
  return problem.length <= MAX_PROBLEM ? problem : `${problem.slice(0, MAX_PROBLEM).toWellFormed()}…`
}
