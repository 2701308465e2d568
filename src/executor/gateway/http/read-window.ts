/** A connection that can be left unread for a moment. */
export interface PausableSource {
  /** The end of its current window, on the clock of `performance.now()`; set by `ReadWindow`. */
  windowEnd: number
  pause (): void
  resume (): void
}

/**
 * The part of a window by which a source may be resumed early, so that one timer serves several sources. A larger part would
 * mean fewer timers; but responses that end in the same batch are followed by runs that begin together and wait for each other.
 */
const EARLY_SHARE = 1 / 24
/** The length of the window after a resumption, as a part of a full one: it covers only what had arrived during the pause. */
const LATE_SHARE = 1 / 4
/** Sources resumed in one turn of the event loop. Other work, such as starting a run, takes several turns and would wait for all of them. */
const MAX_PER_TURN = 16

/**
 * Batches reads while the process is busy. A source that emits twice within a window is paused until the window ends, and
 * the kernel collects what arrives meanwhile: it then costs one read, one event and one write. The first emission is
 * never delayed. All windows are equally long, so one queue and one timer suffice.
 */
export class ReadWindow {
  #waiting: PausableSource[] = []
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined

  /**
   * @param ms the length of a window, in milliseconds.
   * @param load decides whether sources are paused at all.
   */
  constructor (private readonly ms: number, private readonly load: { isHigh (now: number): boolean }) {}

  /** To be called after something that was read from a source was emitted to readers. */
  onEmit (source: PausableSource): void {
    const now = performance.now()
    const isWithinWindow = now < source.windowEnd
    source.windowEnd = now + this.ms
    if (!isWithinWindow || !this.load.isHigh(now)) return
    source.pause()
    if (this.#waiting.push(source) === 1) this.#schedule(source, now)
  }

  /** Stops the timer. Sources that are paused stay so. */
  close (): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
  }

  #schedule (next: PausableSource, now: number): void {
    if (this.#isDue(next, now)) this.#immediate = setImmediate(() => this.#resumeDue())
    else this.#timer = setTimeout(() => this.#resumeDue(), next.windowEnd - now)
  }

  #isDue ({ windowEnd }: PausableSource, now: number): boolean {
    return windowEnd - now <= this.ms * EARLY_SHARE
  }

  #resumeDue (): void {
    const now = performance.now()
    const first = this.#waiting.slice(0, MAX_PER_TURN)
    const end = first.findIndex(source => !this.#isDue(source, now))
    const due = this.#waiting.splice(0, end < 0 ? first.length : end)
    const next = this.#waiting[0]
    if (next) this.#schedule(next, now)
    for (const source of due) {
      source.windowEnd = now + this.ms * LATE_SHARE
      source.resume()
    }
  }
}
