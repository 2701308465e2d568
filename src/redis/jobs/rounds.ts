import type { Redis } from 'ioredis'
import { parkedKey, SERVED_ROUND, USER_ROUNDS } from '../keys.js'
import type { QueuedRun } from '../run-job.js'

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

/**
 * Counts the runs that wait, in all and of one user: a user's runs have a round each, from the one after that which is served;
 * those that are parked have had theirs.
 * @throws the error of Redis.
 */
export async function countWaiting (redis: Redis, waitingKey: string, delayedKey: string, userId: string): Promise<{ total: number, ofUser: number }> {
  const results = await redis.pipeline()
    .zcard(waitingKey).zcard(delayedKey).zcard(parkedKey(userId)).get(SERVED_ROUND).hget(USER_ROUNDS, userId).exec()
  const [waiting, delayed, parked, served, last] = results!.map(([error, value]) => {
    if (error) throw error
    return Number(value ?? 0)
  }) as [number, number, number, number, number]
  // The rounds start again when no run waits.
  const ahead = waiting > 0 ? Math.max(0, last - served) : 0
  return { total: waiting + delayed, ofUser: ahead + parked }
}

/** Records which rounds have got slots; once for the runs of one turn of the event loop. */
export class RoundMarker {
  #served = 0

  constructor (private readonly redis: Redis) {}

  serve (round: number): void {
    const isScheduled = this.#served > 0
    this.#served = Math.max(this.#served, round)
    if (!isScheduled) setImmediate(() => this.#record())
  }

  #record (): void {
    this.redis.serveRound(SERVED_ROUND, this.#served).catch(() => {})
    this.#served = 0
  }
}
