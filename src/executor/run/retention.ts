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
  await eraseByPeriods(database, days, isDraining)
}

/** The same for users and agents that have a shorter period of their own, some periods a call; one with more than a batch is taken again. */
async function eraseByPeriods (database: Pick<Database, 'call'>, days: number, isDraining: () => boolean): Promise<void> {
  for (let after = 0; !isDraining();) {
    const { next, more } = await database.call('erase_by_periods', { p_days: days, p_limit: BATCH, p_after: after })
    if (more) continue
    if (next === null) return
    after = next
  }
}
