import type { Logger } from 'pino'
import { poll } from '../lib/poll.js'
import type { MonitoredDatabase } from './monitored-database.js'

/**
 * Polls with a task that calls the database. While the database is away the rounds fail silently, since the
 * MonitoredDatabase reports that; any other failure is logged once until a round succeeds.
 * @param everyMs from the beginning of one round to the next.
 * @returns how to stop, as `poll` has it.
 */
export function pollDatabase (database: MonitoredDatabase, log: Pick<Logger, 'warn'>, everyMs: number, task: () => Promise<void>): () => Promise<void> {
  let isFailing = false
  let changesBefore = 0
  return poll({
    everyMs,
    task () {
      changesBefore = database.stateChanges
      return task()
    },
    onSuccess () { isFailing = false },
    async onError (err) {
      if (isFailing || !await database.isUp()) return
      // It was away when the round began, and came before the round's call had failed.
      if (database.stateChanges !== changesBefore) return
      log.warn({ err }, 'the database could not be asked: it is asked again and again')
      isFailing = true
    }
  })
}
