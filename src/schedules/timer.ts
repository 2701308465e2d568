import type { Timing } from '../database/functions/schedules.js'

/** A schedule with its next time, in milliseconds by this process's clock; `turn`: the how manieth of its user's it is. */
export interface Timed extends Timing { at: number, turn?: number }

/** Called with schedules that are due, possibly more than once, and possibly in other processes too. */
export type OnDue = (ids: string[]) => Promise<void>

/** Calls back when schedules are due. */
export interface Timer {
  /** Times these schedules and no others from now on. Rejects where that failed. */
  keep (timed: Timed[]): Promise<void>
  /** Calls back no more. */
  close (): Promise<void>
}

/** The longest timeout that Node takes. */
const MAX_TIMEOUT = 2 ** 31 - 1

/** A timer of this process alone. */
export class LocalTimer implements Timer {
  #timed: Timed[] = []
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  /** @param onDue may reject: a schedule that is still due is timed again by the next `keep`. */
  constructor (private readonly onDue: OnDue) {}

  async keep (timed: Timed[]): Promise<void> {
    this.#timed = timed.toSorted((a, b) => a.at - b.at)
    this.#arm()
  }

  async close (): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #arm (): void {
    clearTimeout(this.#timer)
    const [first] = this.#timed
    if (!first || this.#isClosed) return
    const wait = Math.min(MAX_TIMEOUT, Math.max(0, first.at - Date.now()))
    this.#timer = setTimeout(() => this.#ring(), wait).unref()
  }

  #ring (): void {
    const now = Date.now()
    const later = this.#timed.findIndex(({ at }) => at > now)
    const due = this.#timed.splice(0, later < 0 ? this.#timed.length : later)
    // Each user's schedules in turn: one who has thousands due does not delay one who has a single one.
    due.sort((a, b) => (a.turn ?? 0) - (b.turn ?? 0))
    if (due.length > 0) this.onDue(due.map(({ id }) => id)).catch(() => {})
    this.#arm()
  }
}
