import type { EventLoopUtilization } from 'node:perf_hooks'

const { eventLoopUtilization } = performance

/** The minimum length of a sample, in milliseconds: a single long turn of the event loop is not high load. */
const SAMPLE_MS = 500
/** Utilizations. Batching under high load lowers the load, so it ends only well below the level at which it begins. */
const HIGH = 0.5
const LOW = 0.25

/** Classifies the load of this process by its event loop utilization. */
export class LoopLoad {
  #isHigh = false
  #sampledAt: number
  #sample: EventLoopUtilization

  /**
   * @param measure the process's own utilization by default.
   * @param now from `performance.now()`, as in all methods.
   */
  constructor (private readonly measure: typeof eventLoopUtilization = eventLoopUtilization, now = performance.now()) {
    this.#sampledAt = now
    this.#sample = measure()
  }

  /** Whether utilization exceeded 50 % in a sample and has not fallen to 25 % in a later one. */
  isHigh (now: number): boolean {
    if (now - this.#sampledAt >= SAMPLE_MS) this.#takeSample(now)
    return this.#isHigh
  }

  #takeSample (now: number): void {
    const sample = this.measure()
    const { utilization } = this.measure(sample, this.#sample)
    this.#isHigh = utilization > (this.#isHigh ? LOW : HIGH)
    this.#sampledAt = now
    this.#sample = sample
  }
}
