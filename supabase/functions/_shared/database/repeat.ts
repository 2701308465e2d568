import { errors, ServiceError } from '../errors.ts'
import { hasLostAnswer } from '../sql-errors.ts'

/** Milliseconds after which a call is not repeated again, but once at least: a failover takes seconds. */
const REPEAT_MS = 10_000
const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 1_000
/** Seconds after which a database that is away should be there. */
const RETRY_AFTER = 5

/**
 * Makes a call to the database, and repeats it while its answers are lost. It must have the same effect made once or
 * several times.
 * @param call is told whether the call was made before.
 * @param isEnding whether the process ends, so that nothing is repeated any more.
 * @throws {ServiceError} whatever the call throws; `database_unavailable` has `retryAfter`.
 */
export async function repeatLost<T> (call: (isRepeated: boolean) => Promise<T>, isEnding: () => boolean = () => false): Promise<T> {
  const until = Date.now() + REPEAT_MS
  for (let tries = 0, pause = FIRST_PAUSE_MS; ; tries++, pause = Math.min(MAX_PAUSE_MS, pause * 2)) {
    try {
      return await call(tries > 0)
    } catch (error) {
      if (!(error instanceof ServiceError) || error.code !== errors.databaseUnavailable.code) throw error
      const isOver = tries > 0 && Date.now() + pause > until
      if (isOver || isEnding() || !hasLostAnswer(error)) throw error.with({ retryAfter: RETRY_AFTER })
    }
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}
