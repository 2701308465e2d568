import { errors, ServiceError } from '#shared/errors.ts'
import { toStorable } from '#shared/text.ts'

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

/** How the drivers see an error of PostgreSQL or PostgREST. */
export interface SqlError { code?: string, message: string, hint?: string | null }

/** Turns an error of any driver into the one that callers of the port get. */
export function translateError ({ code = '', message, hint }: SqlError): ServiceError {
  // Bare of what drivers hang on it: details, queries and values would bring users' texts into the log.
  const cause = Object.assign(new Error(message), { code })
  const status = /^PT(\d{3})$/.exec(code)?.[1]
  if (status && hint) return new ServiceError(hint, Number(status), message)
  // 42883 undefined function, 42P01 undefined table; PGRST202 is the first in PostgREST's words.
  if (['42883', '42P01', 'PGRST202'].includes(code)) return errors.databaseNotMigrated().with({ cause })
  if (isConnectionError(code) || isRefusal(code)) return errors.databaseUnavailable().with({ cause })
  return errors.internal().with({ cause })
}

/**
 * What another try may mend. 08 connection exception, 40 rolled back, 53 insufficient resources, 55P03 a lock that did
 * not come, 57 operator intervention, 25006 read only, XX000 how poolers tell of a server that went away; PGRST00x is
 * PostgREST without its database; no code at all, or a POSIX one, is a connection that failed.
 */
function isConnectionError (code: string): boolean {
  return code === '' || /^(08|40|53|57)/.test(code) || ['25006', '55P03', 'XX000', 'HTTP 429'].includes(code) || /^PGRST00/.test(code) || /^E[A-Z_]+$/.test(code)
}

/**
 * What does not let this service in, until an operator has mended it. 28 no such role, wrong password or not in
 * pg_hba.conf; 3D no such database; PGRST30x and HTTP 401, 403 a key that is none; the rest are names of TLS's, all of
 * which say that a certificate was not taken or no encryption agreed upon.
 */
export function isRefusal (code: string): boolean {
  return /^(28|3D|PGRST30)/.test(code) || ['HTTP 401', 'HTTP 403'].includes(code) ||
    /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_SELF|SELF_SIGNED_|INVALID_CA|HOSTNAME_MISMATCH)/.test(code)
}

/** Arguments that PostgreSQL takes: its text and jsonb know neither NUL nor half of a surrogate pair. */
export function toStorableArguments (args: Arguments): Arguments {
  return clean(args) as Arguments
}

function clean (value: unknown): unknown {
  if (typeof value === 'string') return toStorable(value)
  if (Array.isArray(value)) return value.map(clean)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [toStorable(key), clean(member)]))
}

/** What JSON escapes where a text is not to be stored as it is; and where a text says just that. */
const UNSTORABLE = /\\u(?:0000|d[89a-f])/

function toStorableJson (value: object): string {
  const json = JSON.stringify(value)
  return UNSTORABLE.test(json) ? JSON.stringify(clean(value)) : json
}

interface Statement { names: string[], text: string }

/** Those of the functions that were called, as they were called last: nearly all are always called alike. */
const statements = new Map<string, Statement>()

/** `select fn(a => $1, …)` with its values, for the drivers that speak SQL; the text of the same call is the same string. */
export function toQuery (fn: string, args: Arguments): { text: string, values: unknown[] } {
  const { text } = statementOf(fn, Object.keys(args))
  const values = Object.values(args).map(value => typeof value === 'object' && value !== null ? toStorableJson(value) : clean(value) ?? null)
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
