import type { Database } from '../../database/port.js'

const BATCH = 500

/**
 * Erases responses and traces of runs that ended longer ago than `days`, in batches; runs and ledger stay.
 * @param isDraining ends it between two batches.
 */
export async function eraseOldRuns (database: Pick<Database, 'call'>, days: number, isDraining: () => boolean): Promise<void> {
  let erased
  do {
    ({ erased } = await database.call('erase_old_runs', { p_days: days, p_limit: BATCH }))
  } while (erased === BATCH && !isDraining())
}
