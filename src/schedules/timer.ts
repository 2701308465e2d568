import type { Timing } from './timing.js'

/** A schedule, and when it is due next: milliseconds by this process's clock. */
export interface Timed extends Timing { at: number }

/** Hears of schedules that are due, maybe more than once, and maybe in other processes too. */
export type OnDue = (ids: string[]) => Promise<void>

/** Says when schedules are due. */
export interface Timer {
  /** From here on these schedules are timed, and no others. Rejects where that could not be said. */
  keep (timed: Timed[]): Promise<void>
  /** Says nothing more. */
  close (): Promise<void>
}

/** The longest that a timer of Node's can be set to. */
const MAX_TIMEOUT = 2 ** 31 - 1

/** One timer of this process for all schedules. */
export class LocalTimer implements Timer {
  #timed: Timed[] = []
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  /** @param onDue may reject: whoever is still due is kept again. */
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
    if (due.length > 0) this.onDue(due.map(({ id }) => id)).catch(() => {})
    this.#arm()
  }
}
