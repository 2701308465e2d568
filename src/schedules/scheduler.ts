import { setTimeout as delay } from 'node:timers/promises'
import { ServiceError } from '#shared/errors.ts'
import type { Firing, Schedule } from '../database/functions/schedules.js'
import type { Database } from '../database/port.js'
import { Tally } from '../lib/counts/tally.js'
import { checkSchedule, fillPrompt } from './schedule.js'
import { ScheduleFault } from './timing.js'

/** The library of cron expressions is loaded only where there are schedules. */
const loadTimes = () => import('./times.js')
type NextTime = Awaited<ReturnType<typeof loadTimes>>['nextTime']

export interface SchedulerOptions {
  database: Pick<Database, 'call'>
  /** Begins a run; the same key joins the run that it has begun before. Rejects with a ServiceError. */
  begin (request: { userId: string, agentId: string, messages: Array<{ role: 'user', content: string }>, idempotencyKey: string }): Promise<unknown>
  /** Logs for the operators; never a prompt. */
  log (message: string, fields: Record<string, unknown>): void
}

/** How long a process owns a firing whose run has not begun yet, which takes milliseconds. */
const LEASE_SECONDS = 30
/** How often a run that cannot begin now (full queue, database away) is retried, and for how long. */
const RETRY_SECONDS = 10
const GIVE_UP_MS = 15 * 60_000
/** How early a timer may fire whose clock differs from the database's. */
const EARLY_MS = 2_000
/** How many firings begin at the same time; each takes two database calls. */
const MAX_BEGINNING = 8
const MAX_CLAIM = 50
/** How many schedules are read at a time; the database returns fewer if they are large. */
const MAX_READ = 50
/**
 * Plans and fires schedules. The database decides: any number of processes may fire the same schedule at the same time,
 * and only one of them creates the firing.
 */
export class Scheduler {
  /** What has come of firings: `fired`; `waits`, to be tried again; `failed`; and `fault`, of schedules that cannot be understood. */
  readonly outcomes = new Tally<'result'>()
  #closing = new AbortController()
  #beginning = new Set<Promise<void>>()
  #firing = new Set<string>()

  constructor (private readonly options: SchedulerOptions) {}

  /** Computes the next times of new and edited schedules. A failure of one does not stop the others; the first is thrown at the end. */
  async plan (ids: string[]): Promise<void> {
    const { nextTime } = await loadTimes()
    await this.#inParts(ids, async ({ schedules }) => {
      const failures: unknown[] = []
      for (const schedule of schedules) {
        if (this.#closing.signal.aborted) break
        await this.#plan(schedule, nextTime).catch(error => { failures.push(error) })
      }
      throwFirst(failures)
    })
  }

  /** Fires those of the schedules that are due, in this order. Resolves when their runs have begun. Those that are being fired here are left out. */
  async fire (ids: string[]): Promise<void> {
    const own = ids.filter(id => !this.#firing.has(id))
    for (const id of own) this.#firing.add(id)
    try {
      await this.#fireAll(own)
    } finally {
      for (const id of own) this.#firing.delete(id)
    }
  }

  async #fireAll (ids: string[]): Promise<void> {
    await this.#inParts(ids, async ({ now, schedules }) => {
      const waits = schedules
        .filter(({ nextRunAt }) => nextRunAt !== null)
        .map(schedule => ({ schedule, wait: Date.parse(schedule.nextRunAt!) - Date.parse(now) }))
        .filter(({ wait }) => wait <= EARLY_MS)
      const longest = Math.max(0, ...waits.map(({ wait }) => wait))
      if (longest > 0) await delay(longest, undefined, { signal: this.#closing.signal }).catch(() => {})
      await this.#inTurn(waits, ({ schedule }) => this.#fire(schedule, new Date(Date.parse(now) + longest)))
    })
  }

  /** Begins the runs of firings whose process died before it did so. */
  async takeUp (): Promise<void> {
    if (this.#closing.signal.aborted) return
    const firings = await this.options.database.call('claim_firings', { p_lease_seconds: LEASE_SECONDS, p_limit: MAX_CLAIM })
    await this.#inTurn(firings, firing => this.#begin(firing))
  }

  /** Fires nothing more, and waits for firings that are beginning. */
  async close (): Promise<void> {
    this.#closing.abort()
    await Promise.allSettled(this.#beginning)
  }

  async #plan (schedule: Schedule, nextTime: NextTime): Promise<void> {
    const { id, cron, timezone, unplannedSince: since } = schedule
    if (!since) return
    const next = await this.#attempt(schedule, since, () => {
      checkSchedule(schedule)
      return nextTime(schedule, new Date(since))
    })
    if (next) await this.options.database.call('plan_schedule', { p_schedule_id: id, p_cron: cron, p_timezone: timezone, p_next: next.toISOString() })
  }

  async #fire (schedule: Schedule, now: Date): Promise<void> {
    const since = schedule.nextRunAt!
    const due = new Date(since)
    const { catchUp } = await loadTimes()
    const made = await this.#attempt(schedule, since, () => {
      checkSchedule(schedule)
      const times = catchUp(schedule, due, now)
      return { ...times, content: fillPrompt(schedule, times.latest) }
    })
    if (!made) return
    const firing = await this.options.database.call('fire_schedule', {
      p_schedule_id: schedule.id,
      p_due: since,
      p_for: made.latest.toISOString(),
      p_next: made.next.toISOString(),
      p_content: made.content,
      p_lease_seconds: LEASE_SECONDS
    })
    if (firing) await this.#begin(firing)
  }

  /** Begins a firing's run; the database links the two by the idempotency key. */
  async #begin (firing: Firing): Promise<void> {
    const { id, scheduleId, userId, agentId, content } = firing
    try {
      await this.options.begin({ userId, agentId, messages: [{ role: 'user', content }], idempotencyKey: `schedule:${id}` })
      this.outcomes.add({ result: 'fired' })
      this.options.log('schedule fired', { scheduleId, firingId: id, agentId, userId })
    } catch (error) {
      await this.#handleFailure(firing, error)
    }
  }

  async #handleFailure ({ id, scheduleId, startedAt, now }: Firing, error: unknown): Promise<void> {
    const isKnown = error instanceof ServiceError
    const isPassing = isKnown && (error.statusCode === 503 || error.statusCode === 429)
    const code = isKnown ? error.code : 'internal_error'
    if (isPassing && Date.parse(now) - Date.parse(startedAt) < GIVE_UP_MS) {
      this.outcomes.add({ result: 'waits' })
      this.options.log('schedule waits', { scheduleId, firingId: id, code })
      // While this process ends, another one may begin the run at once.
      await this.options.database.call('postpone_firing', { p_id: id, p_seconds: code === 'shutting_down' ? 0 : RETRY_SECONDS })
    } else {
      this.outcomes.add({ result: 'failed' })
      this.options.log('schedule failed', { scheduleId, firingId: id, code, ...(isKnown ? {} : { err: error }) })
      await this.options.database.call('fail_firing', { p_id: id, p_error: isKnown ? error.message : 'The run could not begin.', p_refused: !isPassing })
    }
  }

  /** Computes something of a schedule. If that fails the schedule is marked as faulty, and the result is undefined. */
  async #attempt<T> (schedule: Schedule, since: string, make: () => T): Promise<T | undefined> {
    try {
      return make()
    } catch (error) {
      const isKnown = error instanceof ScheduleFault
      const reason = isKnown ? error.message : 'The schedule cannot be understood.'
      const { told } = await this.options.database.call('fault_schedule', { p_schedule_id: schedule.id, p_since: since, p_error: reason })
      if (told) this.outcomes.add({ result: 'fault' })
      if (told) this.options.log('schedule at fault', { scheduleId: schedule.id, userId: schedule.userId, reason, ...(isKnown ? {} : { err: error }) })
    }
  }

  /** Handles items a few at a time. A failure does not stop the others; the first one is thrown at the end. */
  async #inTurn<T> (items: T[], act: (item: T) => Promise<void>): Promise<void> {
    const queue = [...items]
    const failures: unknown[] = []
    const work = async () => {
      for (let item = queue.shift(); item !== undefined && !this.#closing.signal.aborted; item = queue.shift()) {
        await act(item).catch(error => { failures.push(error) })
      }
    }
    const all = Promise.all(Array.from({ length: MAX_BEGINNING }, work)).then(() => {})
    this.#beginning.add(all)
    await all.finally(() => this.#beginning.delete(all))
    throwFirst(failures)
  }

  /** Reads schedules in parts, and handles each part. A failure does not stop the others; the first one is thrown at the end. */
  async #inParts (ids: string[], handle: (part: { now: string, schedules: Schedule[] }) => Promise<void>): Promise<void> {
    const failures: unknown[] = []
    for (let first = 0; first < ids.length && !this.#closing.signal.aborted; first += MAX_READ) {
      let left = ids.slice(first, first + MAX_READ)
      while (left.length > 0 && !this.#closing.signal.aborted) {
        const part = await this.options.database.call('get_schedules', { p_ids: left })
        left = part.left
        await handle(part).catch(error => { failures.push(error) })
      }
    }
    throwFirst(failures)
  }
}

function throwFirst (failures: unknown[]): void {
  if (failures.length > 0) throw failures[0]
}
