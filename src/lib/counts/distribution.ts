/** How values are distributed: how many were at most each of some bounds. */
export class Distribution {
  /** How many values were above the bound before and at most this one; at the end, how many were above all. */
  readonly #counts: number[]
  #sum = 0

  /** @param bounds ascending. */
  constructor (readonly bounds: readonly number[]) {
    this.#counts = new Array(bounds.length + 1).fill(0)
  }

  /** Adds a value. One that is no number, or below zero, as clocks that were set may yield, is left out. */
  observe (value: number): void {
    if (!(value >= 0)) return
    let index = 0
    while (index < this.bounds.length && value > this.bounds[index]!) index++
    this.#counts[index]!++
    this.#sum += value
  }

  get sum (): number { return this.#sum }
  get count (): number { return this.#counts.reduce((sum, count) => sum + count, 0) }

  /** How many values were at most each bound, and at most Infinity: all of them. */
  get cumulative (): Array<{ bound: number, count: number }> {
    let count = 0
    return [...this.bounds, Infinity].map((bound, index) => {
      count += this.#counts[index]!
      return { bound, count }
    })
  }
}
