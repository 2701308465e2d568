/** Gives a place back. Further calls change nothing. */
export type Release = () => void

/** Counts what is open at this process by its caller. */
export class OpenConnections {
  readonly #open = new Map<string, number>()

  constructor (private readonly max: number) {}

  /** Whether all places of a caller are taken. */
  isFull (caller: string): boolean {
    return (this.#open.get(caller) ?? 0) >= this.max
  }

  /** Takes a place for a caller; undefined if all of theirs are taken. */
  take (caller: string): Release | undefined {
    if (this.isFull(caller)) return undefined
    this.#open.set(caller, (this.#open.get(caller) ?? 0) + 1)
    let isHeld = true
    return () => {
      if (isHeld) this.#release(caller)
      isHeld = false
    }
  }

  #release (caller: string): void {
    const count = this.#open.get(caller)! - 1
    if (count === 0) this.#open.delete(caller)
    else this.#open.set(caller, count)
  }
}
