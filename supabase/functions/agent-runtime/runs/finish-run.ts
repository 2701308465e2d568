import type { FinishRun } from '../../_shared/database/functions.ts'
import { errors, ServiceError } from '../../_shared/errors.ts'
import type { GatewayFailure } from '../../_shared/gateway/failure.ts'
import type { Run } from '../../_shared/schemas.ts'
import type { Database } from '../database.ts'

/**
 * Settles a run. A result that the database always rejects is replaced by an internal error, or the run would be repeated again and again.
 * @param failures why the gateway has failed, try by try.
 * @throws {ServiceError} stale_attempt, if another process has the run; database_unavailable.
 */
export async function finishRun (database: Database, result: FinishRun, failures: readonly GatewayFailure[]): Promise<Run> {
  // They are in the log too, so that they may be lost here.
  if (failures.length > 0) {
    await database.call('note_failures', { p_run_id: result.p_run_id, p_attempt: result.p_attempt, p_failures: failures }).catch(() => {})
  }
  try {
    return await database.persist('finish_run', result)
  } catch (refusal) {
    if (!(refusal instanceof ServiceError) || refusal.code !== errors.internal.code) throw refusal
    const { code, message } = refusal
    return database.persist('finish_run', { ...result, p_status: 'failed', p_credits: 0, p_error: { code, message } })
  }
}
