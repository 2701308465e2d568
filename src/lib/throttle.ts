/**
 * Lets through at once what comes seldom, and bundles what comes often. The pauses grow with the time that has passed,
 * so that what goes on for days tells little more than what goes on for hours.
 */
export class Throttle {
  readonly #startedAt = performance.now()
  #next = 0
  #timer?: NodeJS.Timeout

  /**
   * @param task tells what has come together.
   * @param minMs the shortest pause.
   * @param share what part of the time passed a pause may be.
   */
  constructor (private readonly task: () => void, private readonly minMs: number, private readonly share: number) {}

  /** There is something to tell, now or soon. */
  call (): void {
    const pause = this.#next - performance.now()
    if (pause <= 0) this.#fire()
    else this.#timer ??= setTimeout(() => this.#fire(), pause)
  }

  /** Tells at once what waits to be told. */
  flush (): void {
    if (this.#timer) this.#fire()
  }

  /** What waits is never told. */
  stop (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #fire (): void {
    this.stop()
    const now = performance.now()
    this.#next = now + Math.max(this.minMs, (now - this.#startedAt) * this.share)
    this.task()
  }
}
