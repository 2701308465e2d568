import { Distribution } from './distribution.js'

/** How often the event loop is asked for a turn, in milliseconds. */
const EVERY_MS = 100
const BOUNDS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/**
 * How late the event loop of this process is, in seconds: what its turns take that hold up all others. It is measured by
 * turns that are asked for ten times a second: more often, that would be most of what an idle process costs.
 */
export class LoopDelay extends Distribution {
  readonly #timer: NodeJS.Timeout
  #due: number

  constructor () {
    super(BOUNDS)
    this.#due = performance.now() + EVERY_MS
    this.#timer = setInterval(() => this.#turn(performance.now()), EVERY_MS).unref()
  }

  stop (): void {
    clearInterval(this.#timer)
  }

  #turn (now: number): void {
    this.observe(Math.max(0, now - this.#due) / 1000)
    this.#due = now + EVERY_MS
  }
}
