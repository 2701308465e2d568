import type { Logger } from 'pino'
import type { ListedSchedules } from '../database/functions/schedules.js'
import type { MonitoredDatabase } from '../database/monitored-database.js'
import { pollDatabase } from '../database/poll-database.js'
import type { Tally } from '../lib/counts/tally.js'
import { Pace } from '../lib/pace.js'
import type { Deliveries } from './deliveries.js'
import type { Scheduler } from './scheduler.js'
import { LocalTimer, type OnDue, type Timed, type Timer } from './timer.js'

/** How often it is decided whether to look; that costs nothing. */
const TICK_MS = 1_000
/** How often the database is looked at beside runs, after requests, and with Redis. */
const ROUND_MS = 5_000
/** How often where schedules are on but nothing else happens: an edit takes this long to be seen. */
const WATCH_MS = 60_000
/** How often where nothing is scheduled, so that the process can be put to sleep. */
const QUIET_MS = 600_000
/** The local timer has what is due until after the next look. */
const NEAR_SECONDS = 75
const MAX_NEAR = 1_000
/** How often all schedules are compared with the job schedulers in Redis, and how many of them, the next ones due first. */
const SHARE_MS = 30_000
const MAX_SHARED = 10_000
/** The local timer fires this much later than Redis, in case Redis does not. */
const GRACE_MS = 5_000

export interface SchedulesOptions {
  database: MonitoredDatabase
  scheduler: Scheduler
  deliveries: Deliveries
  /** Opens the timer that replicas share; undefined without Redis. */
  openShared?: (onDue: OnDue) => Promise<Timer>
  /** Whether the shared timer's Redis answers. */
  isShared (): boolean
  isDraining (): boolean
  /** Whether runs are under way here, whose results may be to send. */
  isBusy (): boolean
  log: Pick<Logger, 'warn'>
  /** The clock that decides when to look. */
  now? (): number
}

export interface ScheduleFigures { readonly firings: Tally<'result'>, readonly deliveries: Tally<'result'> }

/** Fires schedules when they are due, and sends their results on. */
export class Schedules {
  readonly #local = new LocalTimer(ids => this.#fire(ids))
  readonly #pace: Pace
  #shared: Timer | undefined
  #nextShare = 0
  #stop: () => Promise<void> = async () => {}

  constructor (private readonly options: SchedulesOptions) {
    this.#pace = new Pace(ROUND_MS, options.now)
  }

  /** What has come of firings, and of sending their results. */
  get figures (): ScheduleFigures {
    const { scheduler, deliveries } = this.options
    return { firings: scheduler.outcomes, deliveries: deliveries.ended }
  }

  /** Begins to time and fire schedules, and to send results. */
  async start (): Promise<void> {
    const { database, openShared, log } = this.options
    this.#shared = await openShared?.(ids => this.#fire(ids))
    this.#stop = pollDatabase(database, log, TICK_MS, () => this.tick())
  }

  /** Looks if it is time to: for what was edited, is due, was left behind, or is to be sent. */
  async tick (): Promise<void> {
    if (this.options.isBusy()) this.#pace.wake()
    if (this.options.isDraining() || !this.#pace.isDue) return
    // If the database does not answer, the next look comes after this pause.
    this.#pace.pause(ROUND_MS)
    const listed = await this.#look(({ leftAt, now }) => leftAt !== null && leftAt <= now)
    this.#pace.pause(this.#pauseAfter(listed))
  }

  /** Something has happened that may be followed by work: the next look comes at once. */
  wake (): void {
    this.#pace.wake()
  }

  /** Looks now, whatever there is. */
  async look (): Promise<void> {
    if (!this.options.isDraining()) await this.#look(() => true)
  }

  /** Fires nothing more. @param ms how long deliveries that are under way may take. */
  async close (ms: number): Promise<void> {
    const { scheduler, deliveries } = this.options
    this.#stop()
    await Promise.all([this.#local.close(), this.#shared?.close(), scheduler.close(), deliveries.close(ms)])
  }

  /** @param isLeft whether there may be firings that were left behind, or results to send. */
  async #look (isLeft: (listed: ListedSchedules) => boolean): Promise<ListedSchedules> {
    const { scheduler, deliveries } = this.options
    const listed = await this.#list(NEAR_SECONDS, MAX_NEAR)
    const tasks = [this.#plan(listed)]
    if (isLeft(listed)) tasks.push(scheduler.takeUp(), deliveries.look())
    // One task that fails does not keep the others from their work.
    for (const outcome of await Promise.allSettled(tasks)) if (outcome.status === 'rejected') throw outcome.reason
    return listed
  }

  /** Plans new and edited schedules, and times what is due soon. */
  async #plan (listed: ListedSchedules): Promise<void> {
    const { scheduler, isShared } = this.options
    const isTimedByRedis = this.#shared !== undefined && isShared()
    const late = isTimedByRedis ? GRACE_MS : 0
    await this.#local.keep(toTimed(listed, late))
    if (listed.unplanned.length > 0) {
      this.#nextShare = 0
      await scheduler.plan(listed.unplanned)
      await this.#local.keep(toTimed(await this.#list(NEAR_SECONDS, MAX_NEAR), late))
    }
    if (isTimedByRedis && Date.now() >= this.#nextShare) await this.#share(this.#shared!)
  }

  /** Milliseconds from a look to the next one. */
  #pauseAfter ({ now, timed, unplanned, isScheduled, leftAt }: ListedSchedules): number {
    const { isBusy, deliveries } = this.options
    const isMore = unplanned.length > 0 || timed.length === MAX_NEAR
    if (this.#shared || isMore || isBusy() || deliveries.isBusy) return ROUND_MS
    if (leftAt !== null) return Math.min(WATCH_MS, Math.max(ROUND_MS, Date.parse(leftAt) - Date.parse(now)))
    return isScheduled ? WATCH_MS : QUIET_MS
  }

  /** Updates the shared timer, without waiting for it: what Redis does not take now it is given in the next round. */
  async #share (shared: Timer): Promise<void> {
    const { isShared, isDraining, log } = this.options
    this.#nextShare = Date.now() + SHARE_MS
    shared.keep(toTimed(await this.#list(null, MAX_SHARED))).catch(err => {
      this.#nextShare = 0
      if (isShared() && !isDraining()) log.warn({ err }, 'schedules could not be shared by Redis: that is tried again')
    })
  }

  #list (seconds: number | null, limit: number): Promise<ListedSchedules> {
    return this.options.database.call('list_schedules', { p_within_seconds: seconds, p_limit: limit })
  }

  async #fire (ids: string[]): Promise<void> {
    const { scheduler, database, isDraining, log } = this.options
    if (isDraining()) return
    try {
      await scheduler.fire(ids)
    } catch (err) {
      // What is still due is fired after the next round; the MonitoredDatabase reports a database that is away.
      if (await database.isUp()) log.warn({ err }, 'schedules could not be fired: that is tried again')
      throw err
    } finally {
      // There may be results to send soon, and runs that could not begin.
      this.wake()
    }
  }
}

/** Times by this process's clock. @param late how many milliseconds after its time a schedule is due here. */
function toTimed ({ now, timed }: ListedSchedules, late = 0): Timed[] {
  const ahead = Date.now() - Date.parse(now)
  return timed.map(({ nextRunAt, ...timing }) => ({ ...timing, at: Date.parse(nextRunAt) + ahead + late }))
}
