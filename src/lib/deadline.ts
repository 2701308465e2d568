/** A signal that is aborted with an outer signal or after a timeout. Must be cleared when it is no longer needed. */
export class Deadline {
  #controller = new AbortController()
  #timer: NodeJS.Timeout
  #onOuterAbort = () => { this.#controller.abort(this.outer.reason) }

  /** @param reason is the signal's reason after the timeout of `ms` milliseconds. */
  constructor (ms: number, private readonly outer: AbortSignal, reason: Error) {
    this.#timer = setTimeout(() => { this.#controller.abort(reason) }, ms)
    outer.addEventListener('abort', this.#onOuterAbort, { once: true })
    if (outer.aborted) this.#onOuterAbort()
  }

  get signal (): AbortSignal {
    return this.#controller.signal
  }

  /** Clears the timer and stops listening to the outer signal. */
  clear (): void {
    clearTimeout(this.#timer)
    this.outer.removeEventListener('abort', this.#onOuterAbort)
  }
}
