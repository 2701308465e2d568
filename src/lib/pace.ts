/**
 * When something is looked at next. Whoever has looked says how long to pause; whoever learns that there may be something
 * to see ends the pause, though no look follows another within `leastMs`.
 */
export class Pace {
  #lastAt = -Infinity
  #nextAt = 0

  /** @param leastMs milliseconds between two looks, if they are not asked for. @param now the clock. */
  constructor (private readonly leastMs: number, private readonly now: () => number = Date.now) {}

  /** Whether it is time to look. */
  get isDue (): boolean { return this.now() >= this.#nextAt }

  /** Somebody has looked; the next look is `ms` milliseconds from now. */
  pause (ms: number): void {
    this.#lastAt = this.now()
    this.#nextAt = this.#lastAt + ms
  }

  /** Something has happened: the next look is as soon as may be. */
  wake (): void {
    this.#nextAt = Math.min(this.#nextAt, this.#lastAt + this.leastMs)
  }

  /** The next look is now. */
  hurry (): void {
    this.#nextAt = 0
  }
}
