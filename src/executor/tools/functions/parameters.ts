import type { TemplateValues } from '#shared/functions/template.ts'
import type { ToolContext } from '../tool.js'

/** A JSON Schema of the type `object`. */
export interface Parameters { type?: unknown, properties?: unknown }

/** Reads a JSON Schema of an object, given as an object or as JSON; undefined if it is not one. */
export function readParameters (given: unknown): Parameters | undefined {
  const schema = typeof given === 'string' ? parse(given) : given
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return undefined
  const { type = 'object' } = schema as Parameters
  return type === 'object' ? { ...schema, type } : undefined
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * The values of templates in a call: each argument by its name, and undefined for a parameter without an argument.
 * `user_input`, `data` and `content` are the argument `user_input` or else all arguments, unless there is an argument of that name.
 */
export function valuesOf (args: Record<string, unknown>, { properties }: Parameters, { agentId }: ToolContext): TemplateValues {
  const declared = Object.keys(properties !== null && typeof properties === 'object' ? properties : {})
  const all = Object.hasOwn(args, 'user_input') ? args.user_input : args
  return {
    response: '',
    user_input: all,
    data: all,
    content: all,
    ...Object.fromEntries(declared.map(name => [name, undefined])),
    ...args,
    agent_id: agentId
  }
}

/** A template's value as the text that a function works on. */
export function asText (value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '')
}
