import type { EventLoopUtilization } from 'node:perf_hooks'

const { eventLoopUtilization } = performance

/** How long is looked back at the least: one long turn of the event loop is no load. */
const SAMPLE_MS = 500
/** Shares of its time. What is done about a high load lowers it, and is not to be left off for that. */
const HIGH = 0.5
const LOW = 0.25

/** How busy this process is: for what part of its time its event loop does not wait. */
export class LoopLoad {
  #isHigh = false
  #sampledAt: number
  #sample: EventLoopUtilization

  /** @param measure is the process's own where none is given; @param now of `performance.now()`, as everywhere here. */
  constructor (private readonly measure: typeof eventLoopUtilization = eventLoopUtilization, now = performance.now()) {
    this.#sampledAt = now
    this.#sample = measure()
  }

  /** Whether it has risen above half of its time and not fallen below a quarter since, as far as was seen. */
  isHigh (now: number): boolean {
    if (now - this.#sampledAt >= SAMPLE_MS) this.#look(now)
    return this.#isHigh
  }

  #look (now: number): void {
    const sample = this.measure()
    const { utilization } = this.measure(sample, this.#sample)
    this.#isHigh = utilization > (this.#isHigh ? LOW : HIGH)
    this.#sampledAt = now
    this.#sample = sample
  }
}
