import type { Database } from '../../src/database/port.js'

export type UntypedCall = <Result = unknown> (fn: string, args?: object) => Promise<Result>

/** Calls functions that are not in the service's typed map: those of the tests, and calls that are wrong on purpose. */
export function untyped (database: Pick<Database, 'call'>): UntypedCall {
  return (fn, args) => (database.call as unknown as UntypedCall).call(database, fn, args) as never
}
