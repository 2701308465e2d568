import type { Logger } from 'pino'
import type { ListedSchedules } from '../database/functions/schedules.js'
import type { MonitoredDatabase } from '../database/monitored-database.js'
import { pollDatabase } from '../database/poll-database.js'
import type { Deliveries } from './deliveries.js'
import type { Scheduler } from './scheduler.js'
import { LocalTimer, type OnDue, type Timed, type Timer } from './timer.js'

/** How often edits are looked for, and firings that other processes left behind: an edit takes this long to be seen. */
const ROUND_MS = 5_000
/** The local timer has what is due until after the next round. */
const NEAR_SECONDS = 3 * ROUND_MS / 1000
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
  log: Pick<Logger, 'warn'>
}

/** Fires schedules when they are due, and sends their results on. */
export class Schedules {
  readonly #local = new LocalTimer(ids => this.#fire(ids))
  #shared: Timer | undefined
  #nextShare = 0
  #stops: Array<() => Promise<void>> = []

  constructor (private readonly options: SchedulesOptions) {}

  /** Begins to time and fire schedules, and to send results. */
  async start (): Promise<void> {
    const { database, deliveries, openShared, log } = this.options
    this.#shared = await openShared?.(ids => this.#fire(ids))
    this.#stops = [() => this.#plan(), () => this.#takeUp(), () => deliveries.look()]
      .map(task => pollDatabase(database, log, ROUND_MS, task))
  }

  /** One round now: for what was edited, is due, was left behind, or is to be sent. */
  async look (): Promise<void> {
    await Promise.all([this.#plan(), this.#takeUp(), this.options.deliveries.look()])
  }

  /** Fires nothing more. @param ms how long deliveries that are under way may take. */
  async close (ms: number): Promise<void> {
    const { scheduler, deliveries } = this.options
    for (const stop of this.#stops) stop()
    await Promise.all([this.#local.close(), this.#shared?.close(), scheduler.close(), deliveries.close(ms)])
  }

  /** Plans new and edited schedules, and times what is due soon. */
  async #plan (): Promise<void> {
    const { scheduler, isShared, isDraining } = this.options
    if (isDraining()) return
    let near = await this.#list(NEAR_SECONDS, MAX_NEAR)
    if (near.unplanned.length > 0) {
      await scheduler.plan(near.unplanned)
      near = await this.#list(NEAR_SECONDS, MAX_NEAR)
      this.#nextShare = 0
    }
    const isTimedByRedis = this.#shared !== undefined && isShared()
    await this.#local.keep(toTimed(near, isTimedByRedis ? GRACE_MS : 0))
    if (isTimedByRedis && Date.now() >= this.#nextShare) await this.#share(this.#shared!)
  }

  async #takeUp (): Promise<void> {
    if (!this.options.isDraining()) await this.options.scheduler.takeUp()
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
    }
  }
}

/** Times by this process's clock. @param late how many milliseconds after its time a schedule is due here. */
function toTimed ({ now, timed }: ListedSchedules, late = 0): Timed[] {
  const ahead = Date.now() - Date.parse(now)
  return timed.map(({ nextRunAt, ...timing }) => ({ ...timing, at: Date.parse(nextRunAt) + ahead + late }))
}
