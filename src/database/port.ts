import type { CallParameters, FunctionName, ResultOf } from './functions.js'

/** The connections for users' calls: how many are open, how many of these are not in use, how many there may be, and how many calls wait for one. */
export interface PoolState { readonly open: number, readonly idle: number, readonly max: number, readonly waiting: number }

/**
 * The port through which the service uses its database: it calls SQL functions of `supabase/migrations`, each of which
 * returns jsonb, by name.
 *
 * A business error, raised in SQL as `PT<status>` with a hint, is thrown as a ServiceError with that status and
 * the hint as its code. If the database cannot be reached, the error is `database_unavailable` (503), and the call may
 * or may not have been executed.
 */
export interface Database {
  /** The connections of the pool, if there is one. */
  readonly pool?: PoolState
  call<F extends FunctionName> (fn: F, ...args: CallParameters<F>): Promise<ResultOf<F>>
  close (): Promise<void>
}

/** Heartbeats and health checks: a call without an answer must fail before a lease ends, so that it can be repeated. */
const PULSE = new Set(['heartbeat_worker', 'get_owned_runs', 'schema_version'])
const PULSE_TIMEOUT = 3_000
const CALL_TIMEOUT = 15_000
/** Functions that read whole tables. */
const LONG = new Set(['audit_credits', 'admin_audit_credits', 'adjust_ledger', 'admin_erase_runs'])
const LONG_TIMEOUT = 120_000

/** The timeout of a function's calls in milliseconds. A broken connection is not always reported. */
export function timeoutOf (fn: string): number {
  if (PULSE.has(fn)) return PULSE_TIMEOUT
  return LONG.has(fn) ? LONG_TIMEOUT : CALL_TIMEOUT
}

/** The database cannot be used until an operator changes something. The message is one line for operators, without passwords and keys. */
export class UnfitDatabaseError extends Error {}
