import { setTimeout as delay } from 'node:timers/promises'
import type { JobSchedulerJson, Queue, RedisOptions } from 'bullmq'
import type { OnDue, Timed, Timer } from './timer.js'
import { patternOf, zoneOf } from './times.js'

/** What it takes of Redis. */
export interface BullTimerOptions {
  connection: RedisOptions
  /** Before the names of all keys. */
  prefix: string
  onDue: OnDue
}

const QUEUE = 'schedules'
/** Schedules that are due at the same moment: each takes some calls of the database. */
const CONCURRENCY = 8
/** A job scheduler that should have come this long ago has lost its job. */
const LOST_MS = 60_000
/** Redis that does not answer is not waited for at the end. */
const CLOSE_MS = 2_000
const MAX_RETRY_MS = 2_000

interface Due { scheduleId: string }

/**
 * Schedules as job schedulers of BullMQ: all processes share them, and each time that one is due one process hears of it.
 * What Redis has forgotten is there again when it is kept again. BullMQ is loaded by whoever has Redis.
 */
export async function openBullTimer ({ connection, prefix, onDue }: BullTimerOptions): Promise<Timer> {
  const { Queue, Worker } = await import('bullmq')
  let isClosed = false
  // Else a connection that is closed while Redis is away would look for it for ever.
  const patient = { ...connection, retryStrategy: (tries: number) => isClosed ? null : Math.min(tries * 100, MAX_RETRY_MS) }
  // What cannot be said now is said when it is kept again.
  const queue = new Queue<Due>(QUEUE, { connection: { ...patient, enableOfflineQueue: false, maxRetriesPerRequest: 1 }, prefix })
  const worker = new Worker<Due>(QUEUE, ({ data }) => onDue([data.scheduleId]), {
    connection: { ...patient, maxRetriesPerRequest: null }, prefix, concurrency: CONCURRENCY
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
      isClosed = true
      const closed = Promise.allSettled([worker.close(), queue.close()])
      await Promise.race([closed, delay(CLOSE_MS, undefined, { ref: false })])
      await Promise.race([Promise.allSettled([worker.disconnect(), queue.disconnect()]), delay(CLOSE_MS, undefined, { ref: false })])
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
