import { setTimeout as delay } from 'node:timers/promises'
import { type JobSchedulerJson, Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { PREFIX } from '../redis/keys.js'
import type { OnDue, Timed, Timer } from './timer.js'
import { patternOf } from './times.js'
import { zoneOf } from './timing.js'

const QUEUE = 'schedules'
/** Schedules that are due at the same moment: each takes some calls of the database. */
const CONCURRENCY = 8
/** A job scheduler that should have come this long ago has lost its job. */
const LOST_MS = 60_000
/** Redis that does not answer is not waited for at the end. */
const CLOSE_MS = 2_000
/** How long a worker rests whose Redis has failed. */
const RETRY_MS = 1_000

interface Due { scheduleId: string }

/**
 * Schedules as job schedulers of BullMQ: all processes share them, and each time that one is due one process hears of it.
 * What Redis has forgotten is there again when it is kept again.
 * @param commands a connection on which what Redis does not take fails.
 * @param connection another that waits for Redis. Whoever opened them closes them.
 */
export async function openBullTimer (commands: Redis, connection: Redis, onDue: OnDue): Promise<Timer> {
  const shared = { prefix: PREFIX, skipVersionCheck: true }
  const queue = new Queue<Due>(QUEUE, { ...shared, connection: commands })
  const worker = new Worker<Due>(QUEUE, ({ data }) => onDue([data.scheduleId]), {
    ...shared, connection, concurrency: CONCURRENCY, runRetryDelay: RETRY_MS
  })
  // That Redis is away is told by who watches over it.
  queue.on('error', () => {})
  worker.on('error', () => {})
  let keeping: Promise<void> | undefined
  return {
    keep (timed) {
      keeping ??= keepAll(queue, timed).finally(() => { keeping = undefined })
      return keeping
    },
    async close () {
      // A worker that waits for its jobs' last words to Redis would wait for as long as that is away.
      const closed = Promise.allSettled([worker.close(commands.status !== 'ready'), queue.close()])
      await Promise.race([closed, delay(CLOSE_MS, undefined, { ref: false })])
    }
  }
}

/** Brings the job schedulers in line with the schedules; any number of processes may do so at the same time. */
async function keepAll (queue: Queue<Due>, timed: Timed[]): Promise<void> {
  const there = new Map((await queue.getJobSchedulers()).map(scheduler => [scheduler.key, scheduler]))
  for (const schedule of timed) {
    const scheduler = there.get(schedule.id)
    there.delete(schedule.id)
    const repeat = { pattern: patternOf(schedule), tz: zoneOf(schedule) }
    if (isAsItShouldBe(scheduler, repeat)) continue
    await queue.upsertJobScheduler(schedule.id, repeat, {
      name: 'due', data: { scheduleId: schedule.id }, opts: { removeOnComplete: true, removeOnFail: true }
    })
  }
  for (const id of there.keys()) await queue.removeJobScheduler(id)
}

function isAsItShouldBe (scheduler: JobSchedulerJson<Due> | undefined, { pattern, tz }: { pattern: string, tz: string }): boolean {
  return scheduler?.pattern === pattern && scheduler.tz === tz && (scheduler.next ?? 0) > Date.now() - LOST_MS
}
