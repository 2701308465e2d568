/** A connection that can be left unread for a while. */
export interface Source {
  /** What is told of it before that, by the clock of `performance.now()`, follows closely on what was told before. */
  windowEnd: number
  pause (): void
  resume (): void
}

/**
 * What part of a window one may be read early: so that a timer rings for many. For more of them it would ring seldomer, and
 * cost less; but answers whose ends are told together are followed by runs that begin together, and wait for each other.
 */
const EARLY_SHARE = 1 / 24
/** For what part of a window after it something may be read that had waited for its end. */
const LATE_SHARE = 1 / 4
/** How many are read in one turn of the event loop: what else is to be done, such as to begin a run, waits for a turn at several places. */
const MOST_A_TURN = 16

/**
 * Lets the kernel gather what follows closely while the process is busy: a connection of which something was told, and
 * something else soon after, is not read for a while; all that came meanwhile is then one read, one event and one write.
 * All wait equally long, so one queue and one timer know who is next.
 */
export class ReadWindow {
  #waiting: Source[] = []
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined

  /** @param ms for how long a connection is not read, where the load is high. */
  constructor (private readonly ms: number, private readonly load: { isHigh (now: number): boolean }) {}

  /** What was read of it was told. */
  told (source: Source): void {
    const now = performance.now()
    const isClose = now < source.windowEnd
    source.windowEnd = now + this.ms
    if (!isClose || !this.load.isHigh(now)) return
    source.pause()
    if (this.#waiting.push(source) === 1) this.#await(source, now)
  }

  /** What waits is not read by this any more. */
  close (): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
  }

  #await (next: Source, now: number): void {
    if (this.#isDue(next, now)) this.#immediate = setImmediate(() => this.#open())
    else this.#timer = setTimeout(() => this.#open(), next.windowEnd - now)
  }

  #isDue ({ windowEnd }: Source, now: number): boolean {
    return windowEnd - now <= this.ms * EARLY_SHARE
  }

  #open (): void {
    const now = performance.now()
    const first = this.#waiting.slice(0, MOST_A_TURN)
    const end = first.findIndex(source => !this.#isDue(source, now))
    const due = this.#waiting.splice(0, end < 0 ? first.length : end)
    const next = this.#waiting[0]
    if (next) this.#await(next, now)
    for (const source of due) {
      source.windowEnd = now + this.ms * LATE_SHARE
      source.resume()
    }
  }
}
