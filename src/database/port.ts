import { toStorableValue } from '#shared/text.ts'

/** What PostgreSQL can be given as a named argument; arrays and objects arrive as jsonb. */
export type Arguments = Record<string, unknown>

/**
 * The one door to the database: an SQL function of `supabase/migrations` that returns jsonb, called by name.
 *
 * A business error, raised in SQL as `PT<status>` with a hint, is thrown as a ServiceError with that status and
 * the hint as its code. A database that cannot be reached is `database_unavailable` (503); whatever the call would
 * have done may then have been done or not.
 */
export interface Database {
  call<T> (fn: string, args?: Arguments): Promise<T>
  close (): Promise<void>
}

/** What tells others that this process and the database live: soon answered, or asked again before a lease ends. */
const PULSE = new Set(['heartbeat_worker', 'get_owned_runs', 'schema_version'])
const PULSE_TIMEOUT = 3_000
const CALL_TIMEOUT = 15_000
/** What reads whole tables. */
const LONG = new Set(['audit_credits', 'admin_audit_credits', 'adjust_ledger'])
const LONG_TIMEOUT = 120_000

/** For how many milliseconds a call is waited for: a connection may die without a word. */
export function timeoutOf (fn: string): number {
  if (PULSE.has(fn)) return PULSE_TIMEOUT
  return LONG.has(fn) ? LONG_TIMEOUT : CALL_TIMEOUT
}

/** A database that only an operator can make fit; the message is one line for them, without passwords and keys. */
export class UnfitDatabaseError extends Error {}

/** Arguments that PostgreSQL takes: its text and jsonb know neither NUL nor half of a surrogate pair. */
export function toStorableArguments (args: Arguments): Arguments {
  return toStorableValue(args) as Arguments
}

/** What JSON escapes where a text is not to be stored as it is; and where a text says just that. */
const UNSTORABLE = /\\u(?:0000|d[89a-f])/

function toStorableJson (value: object): string {
  const json = JSON.stringify(value)
  return UNSTORABLE.test(json) ? JSON.stringify(toStorableValue(value)) : json
}

interface Statement { names: string[], text: string }

/** Those of the functions that were called, as they were called last: nearly all are always called alike. */
const statements = new Map<string, Statement>()

/** `select fn(a => $1, …)` with its values, for the drivers that speak SQL; the text of the same call is the same string. */
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
