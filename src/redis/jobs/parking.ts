import type { Job, Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { parkedKey } from '../keys.js'
import type { RunJob } from '../run-job.js'

/**
 * A run whose user has as many runs as the limit allows is parked: its job is delayed for PARKED_MS, and its id is put into
 * a sorted set of the user's parked runs. The end of one of these runs promotes the first parked job, so that the delay
 * matters only if that fails.
 */

/** How long the job of a parked run is delayed. */
export const PARKED_MS = 5_000

/**
 * Adds a run to its user's parked runs, in the order in which the jobs were added.
 * @throws the error of Redis. A full one refuses: if that passed unnoticed, the run would look as if it had been promoted.
 */
export async function park (redis: Redis, runId: string, { userId, at }: RunJob): Promise<void> {
  const key = parkedKey(userId)
  const [added] = (await redis.pipeline().zadd(key, at, runId).pexpire(key, 2 * PARKED_MS).exec())!
  if (added![0]) throw added![0]
}

/** Promotes a job that has just been delayed if its run was taken from the parked runs before, when that had no effect yet. */
export async function promoteIfUnparked (redis: Redis, job: Job<RunJob>): Promise<void> {
  try {
    if (await redis.zscore(parkedKey(job.data.userId), job.id!) === null) await job.promote()
  } catch {
    // The job has been promoted meanwhile, or is tried again after its delay.
  }
}

/** One of the user's runs has ended: promotes the first of the user's parked runs that still waits. */
export async function promoteParked (redis: Redis, queue: Queue<RunJob>, userId: string): Promise<void> {
  try {
    for (;;) {
      const [runId] = await redis.zpopmin(parkedKey(userId))
      if (!runId) return
      const job = await queue.getJob(runId)
      if (await job?.promote().then(() => true, () => false)) return
    }
  } catch {
    // The jobs are tried again after their delay.
  }
}
