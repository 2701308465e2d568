import type { SharedFunctions } from '#shared/database/functions.ts'
import type { AccessFunctions } from './functions/access.js'
import type { AdministrationFunctions } from './functions/administration.js'
import type { ConsoleFunctions } from './functions/console.js'
import type { KeyFunctions } from './functions/keys.js'
import type { ResponseFunctions } from './functions/responses.js'
import type { RunFunctions } from './functions/runs.js'
import type { ScheduleFunctions } from './functions/schedules.js'

/**
 * Every SQL function that the service calls, by name, with its named arguments and its result. An argument whose key is
 * optional has a default in SQL. test/database/functions.test.ts compares this with the schema.
 */
export interface DatabaseFunctions extends SharedFunctions, AccessFunctions, RunFunctions, AdministrationFunctions, ConsoleFunctions, KeyFunctions, ResponseFunctions, ScheduleFunctions {}

export type FunctionName = keyof DatabaseFunctions
export type ArgumentsOf<F extends FunctionName> = DatabaseFunctions[F]['args']
export type ResultOf<F extends FunctionName> = DatabaseFunctions[F]['result']

/** The parameters of a call after the function's name: the arguments can be left off if all of them are optional. */
export type CallParameters<F extends FunctionName> =
  Record<never, never> extends ArgumentsOf<F> ? [args?: ArgumentsOf<F>] : [args: ArgumentsOf<F>]
