/** How many keys are counted at a time; beyond, the one whose window began first is forgotten. */
const MAX_KEYS = 50_000

interface Window { used: number, endsAt: number }

/**
 * Counts amounts by key within windows of time. An amount is taken while less than the maximum was used, however large it
 * is: what waits for the end of its window is taken then.
 */
export class WindowCounter {
  readonly #windows = new Map<string, Window>()

  /** @param windowMs how long a window lasts, from its first amount on. */
  constructor (private readonly max: number, private readonly windowMs: number) {}

  /** Takes an amount. Returns 0, or for how many milliseconds nothing is taken of this key. */
  take (key: string, amount: number, now = Date.now()): number {
    const window = this.#windows.get(key)
    if (!window || window.endsAt <= now) this.#begin(key, amount, now)
    else if (window.used >= this.max) return window.endsAt - now
    else window.used += amount
    return 0
  }

  #begin (key: string, used: number, now: number): void {
    // A key that is deleted first comes last.
    this.#windows.delete(key)
    if (this.#windows.size >= MAX_KEYS) this.#windows.delete(this.#windows.keys().next().value!)
    this.#windows.set(key, { used, endsAt: now + this.windowMs })
  }
}
