/** A signal that is aborted with another one, or when time is up; `clear` once neither matters any more. */
export class Deadline {
  #controller = new AbortController()
  #timer: NodeJS.Timeout
  #follow = () => { this.#controller.abort(this.outer.reason) }

  /** @param reason what the signal is aborted with when time is up. */
  constructor (ms: number, private readonly outer: AbortSignal, reason: Error) {
    this.#timer = setTimeout(() => { this.#controller.abort(reason) }, ms)
    outer.addEventListener('abort', this.#follow, { once: true })
    if (outer.aborted) this.#follow()
  }

  get signal (): AbortSignal {
    return this.#controller.signal
  }

  clear (): void {
    clearTimeout(this.#timer)
    this.outer.removeEventListener('abort', this.#follow)
  }
}
