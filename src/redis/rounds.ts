import type { ChainableCommander, Redis } from 'ioredis'
import { SERVED_ROUND, USER_ROUNDS } from './keys.js'
import type { QueuedRun } from './run-job.js'

/** BullMQ's greatest priority: a job's priority is its round. */
const MAX_ROUND = 2_097_151

/**
 * Assigns each run its round, by start-time fair queuing (see scripts/take-rounds.lua); 0 for a run that has a job already.
 * @param waitingKey the sorted set of waiting jobs.
 * @param jobPrefix the prefix of the jobs' keys.
 */
export function takeRounds (redis: Redis, waitingKey: string, jobPrefix: string, runs: readonly QueuedRun[]): Promise<number[]> {
  return redis.takeRounds(waitingKey, SERVED_ROUND, USER_ROUNDS, jobPrefix, MAX_ROUND, ...runs.flatMap(({ runId, userId }) => [runId, userId]))
}

/** Records that a run of this round has got its slot. */
export function serveRound (pipeline: ChainableCommander, round: number): ChainableCommander {
  return pipeline.serveRound(SERVED_ROUND, round)
}
