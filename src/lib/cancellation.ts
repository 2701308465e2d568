/** Whether something is to stop; an AbortSignal is one. */
export interface CancelSignal {
  readonly aborted: boolean
  readonly reason: unknown
  throwIfAborted (): void
  addEventListener (type: 'abort', listener: CancelListener, options?: { once: boolean }): void
  removeEventListener (type: 'abort', listener: CancelListener): void
}

/** The same for who takes nothing else. */
export function toAbortSignal (signal: CancelSignal): AbortSignal {
  return signal instanceof Cancellation ? signal.abortSignal : signal as AbortSignal
}

export interface CancelListener { handleEvent (): void }

/**
 * Of an AbortController and its signal what every run needs, at a tenth of their kilobyte; who takes nothing but an
 * AbortSignal is given one that is made then.
 */
export class Cancellation implements CancelSignal {
  aborted = false
  reason: unknown
  #listeners: CancelListener[] = []
  #controller?: AbortController

  /** The first reason is the one that counts. */
  abort (reason: unknown): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    const listeners = this.#listeners
    this.#listeners = []
    this.#controller?.abort(reason)
    for (const listener of listeners) listener.handleEvent()
  }

  get abortSignal (): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.aborted) this.#controller.abort(this.reason)
    return this.#controller.signal
  }

  throwIfAborted (): void {
    if (this.aborted) throw this.reason
  }

  /** Each is told once, and not of what was before. */
  addEventListener (_type: 'abort', listener: CancelListener): void {
    // A spread would leave room for sixteen more.
    this.#listeners = this.#listeners.concat(listener)
  }

  removeEventListener (_type: 'abort', listener: CancelListener): void {
    this.#listeners = this.#listeners.filter(other => other !== listener)
  }
}
