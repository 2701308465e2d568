import { setTimeout as delay } from 'node:timers/promises'
import { type JobSchedulerJson, Queue, type RepeatOptions, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { PREFIX } from '../redis/keys.js'
import type { OnDue, Timed, Timer } from './timer.js'
import { nextTime, patternOf } from './times.js'
import { zoneOf } from './timing.js'

const QUEUE = 'schedules'
/** How many schedules that are due at the same moment are fired at a time. */
const CONCURRENCY = 8
/** A job scheduler whose next time is this long past has lost its job. */
const LOST_MS = 60_000
/** How long closing waits for Redis. */
const CLOSE_MS = 2_000
/** How long a worker pauses after Redis has failed. */
const RETRY_MS = 1_000

interface Due { scheduleId: string }

/**
 * A timer on BullMQ's job schedulers, which all processes share: one of them is called when a schedule is due. Job
 * schedulers that Redis has lost are created again by the next `keep`.
 * @param commands a connection on which commands fail while Redis is away.
 * @param connection a connection that waits for Redis. The caller closes both.
 */
export async function openBullTimer (commands: Redis, connection: Redis, onDue: OnDue): Promise<Timer> {
  const shared = { prefix: PREFIX, skipVersionCheck: true, settings: { repeatStrategy } }
  const queue = new Queue<Due>(QUEUE, { ...shared, connection: commands })
  const worker = new Worker<Due>(QUEUE, ({ data }) => onDue([data.scheduleId]), {
    ...shared, connection, concurrency: CONCURRENCY, runRetryDelay: RETRY_MS
  })
  // The RedisLink reports a Redis that is away.
  queue.on('error', () => {})
  worker.on('error', () => {})
  let keeping: Promise<void> | undefined
  return {
    keep (timed) {
      keeping ??= keepAll(queue, timed).finally(() => { keeping = undefined })
      return keeping
    },
    async close () {
      // A worker that closes in order waits for Redis, for as long as that is away.
      const closed = Promise.allSettled([worker.close(commands.status !== 'ready'), queue.close()])
      await Promise.race([closed, delay(CLOSE_MS, undefined, { ref: false })])
    }
  }
}

/** Makes the job schedulers equal to the schedules; any number of processes may do so at the same time. */
async function keepAll (queue: Queue<Due>, timed: Timed[]): Promise<void> {
  const there = new Map((await queue.getJobSchedulers()).map(scheduler => [scheduler.key, scheduler]))
  for (const schedule of timed) {
    const repeat = repeatOf(schedule)
    if (!repeat) continue
    const isRight = isAsItShouldBe(there.get(schedule.id), repeat)
    if (!isRight && !hasNext(schedule)) continue
    there.delete(schedule.id)
    if (isRight) continue
    await queue.upsertJobScheduler(schedule.id, repeat, {
      name: 'due', data: { scheduleId: schedule.id }, opts: { removeOnComplete: true, removeOnFail: true }
    })
  }
  for (const id of there.keys()) await queue.removeJobScheduler(id)
}

/** Undefined for an invalid schedule, of which its user is told when it is due; the timers of the processes see to that. */
function repeatOf (schedule: Timed): { pattern: string, tz: string } | undefined {
  try {
    return { pattern: patternOf(schedule), tz: zoneOf(schedule) }
  } catch {
    return undefined
  }
}

/** Whether a schedule has a next time, without which BullMQ cannot be told of it: the 31st of February has none. */
function hasNext (schedule: Timed): boolean {
  try {
    nextTime(schedule, new Date())
    return true
  } catch {
    return false
  }
}

/** When BullMQ wakes a process for a schedule: its own way knows no times that clocks skip. */
export function repeatStrategy (after: number, { pattern = '', tz }: RepeatOptions): number {
  return nextTime({ id: '', cron: pattern, timezone: tz ?? null }, new Date(after)).getTime()
}

function isAsItShouldBe (scheduler: JobSchedulerJson<Due> | undefined, { pattern, tz }: { pattern: string, tz: string }): boolean {
  return scheduler?.pattern === pattern && scheduler.tz === tz && (scheduler.next ?? 0) > Date.now() - LOST_MS
}
