import type { LoopLoad } from './loop-load.js'

/** What gathers texts to be told. */
export interface Gathering {
  /** When it last told something, and by when it is to tell what waits; by the clock of `performance.now()`. */
  toldAt: number
  dueAt: number
  isWaiting: boolean
  /** Tells what it has. */
  tell (): void
}

/** What part of a window one may be told early: so that a timer rings for many. */
const EARLY_SHARE = 1 / 8

/**
 * Lets texts that follow each other closely be told together while the process is busy: one that comes after a pause goes
 * at once, one that comes sooner waits for those behind it. All wait equally long, so one queue and one timer know who is next.
 */
export class FlushWindow {
  #waiting: Gathering[] = []
  #timer: NodeJS.Timeout | undefined

  /** @param ms how long a text may wait, where the load is high. */
  constructor (private readonly ms: number, private readonly load: Pick<LoopLoad, 'isHigh'>) {}

  /** There is something to tell, now or with what follows. */
  offer (gathering: Gathering): void {
    if (gathering.isWaiting) return
    const now = performance.now()
    if (now - gathering.toldAt >= this.ms || !this.load.isHigh(now)) return tell(gathering, now)
    gathering.dueAt = now + this.ms
    gathering.isWaiting = true
    this.#waiting.push(gathering)
    this.#timer ??= setTimeout(() => this.#ring(), this.ms)
  }

  /** What waits is not told by this any more. */
  close (): void {
    clearTimeout(this.#timer)
  }

  #ring (): void {
    const now = performance.now()
    const end = this.#waiting.findIndex(({ dueAt }) => dueAt > now + this.ms * EARLY_SHARE)
    const due = this.#waiting.splice(0, end < 0 ? this.#waiting.length : end)
    const next = this.#waiting[0]
    this.#timer = next && setTimeout(() => this.#ring(), next.dueAt - now)
    for (const gathering of due) tell(gathering, now)
  }
}

function tell (gathering: Gathering, now: number): void {
  gathering.toldAt = now
  gathering.isWaiting = false
  gathering.tell()
}
