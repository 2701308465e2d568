/**
 * A throttle with a leading and a trailing call: the first call runs the task at once, calls within the interval that
 * follows are merged into one at its end. The interval grows with the age of the throttle, which bounds the number of
 * calls over its lifetime: it rises with the logarithm of the time, not with the time.
 */
export class Throttle {
  readonly #startedAt = performance.now()
  #next = 0
  #timer?: NodeJS.Timeout

  /**
   * @param task runs at most once per interval.
   * @param minMs the shortest interval, in milliseconds.
   * @param share the interval as a fraction of the throttle's age, if that is longer.
   */
  constructor (private readonly task: () => void, private readonly minMs: number, private readonly share: number) {}

  /** Runs the task now, or at the end of the current interval. */
  call (): void {
    const pause = this.#next - performance.now()
    if (pause <= 0) this.#run()
    else this.#timer ??= setTimeout(() => this.#run(), pause)
  }

  /** Runs a pending task now. */
  flush (): void {
    if (this.#timer) this.#run()
  }

  /** Discards a pending task. */
  stop (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #run (): void {
    this.stop()
    const now = performance.now()
    this.#next = now + Math.max(this.minMs, (now - this.#startedAt) * this.share)
    this.task()
  }
}
