import type { Caller } from '#shared/http/caller.ts'
import type { Database } from '../database/port.js'

/** How many callers are asked for in one call. */
const MAX_CALLERS = 1_000

/**
 * Finds those callers whose key or session was revoked, or whose user is gone.
 * @throws {ServiceError} database_unavailable.
 */
export async function findEndedCallers (database: Pick<Database, 'call'>, callers: readonly Caller[]): Promise<Set<Caller>> {
  const ended = new Set<Caller>()
  for (let first = 0; first < callers.length; first += MAX_CALLERS) {
    const some = callers.slice(first, first + MAX_CALLERS)
    const rows = some.map(({ userId, apiKeyId, sessionId }) => ({ userId, apiKeyId: apiKeyId ?? undefined, sessionId }))
    for (const position of await database.call('find_ended_callers', { p_callers: rows })) ended.add(some[position]!)
  }
  return ended
}
