import { toStorableValue } from '#shared/text.ts'

/** The named arguments of an SQL function; arrays and objects are sent as jsonb. */
export type Arguments = object

/** Replaces NUL and unpaired surrogates in all texts, which PostgreSQL's text and jsonb reject. */
export function toStorableArguments (args: Arguments): Arguments {
  return toStorableValue(args) as Arguments
}

/** Matches the escapes that JSON.stringify writes for unstorable characters, and texts that look like such an escape. */
const UNSTORABLE = /\\u(?:0000|d[89a-f])/

function toStorableJson (value: object): string {
  const json = JSON.stringify(value)
  return UNSTORABLE.test(json) ? JSON.stringify(toStorableValue(value)) : json
}

interface Statement { names: string[], text: string }

/** The last statement of each function: nearly every caller of a function passes the same arguments in the same order. */
const statements = new Map<string, Statement>()

/**
 * Builds `select public.fn(a => $1, …) as result` with its values, for drivers that send SQL. The same function with the
 * same argument names gives the same string, so that it is prepared once.
 */
export function toQuery (fn: string, args: Arguments): { text: string, values: unknown[] } {
  const { text } = statementOf(fn, Object.keys(args))
  const values = Object.values(args).map(value => typeof value === 'object' && value !== null ? toStorableJson(value) : toStorableValue(value) ?? null)
  return { text, values }
}

function statementOf (fn: string, names: string[]): Statement {
  const known = statements.get(fn)
  if (known && known.names.length === names.length && names.every((name, index) => name === known.names[index])) return known
  const list = names.map((name, index) => `${name} => $${index + 1}`).join(', ')
  const statement = { names, text: `select public.${fn}(${list}) as result` }
  statements.set(fn, statement)
  return statement
}
