import { setMaxListeners } from 'node:events'

/** The part of AbortSignal that this service uses; every AbortSignal implements it. */
export interface CancelSignal {
  readonly aborted: boolean
  readonly reason: unknown
  throwIfAborted (): void
  addEventListener (type: 'abort', listener: CancelListener, options?: { once: boolean }): void
  removeEventListener (type: 'abort', listener: CancelListener): void
}

/**
 * For signals that any number may listen to: hundreds of webhooks, runs or tools may be under way at once, and Node's warning
 * of a leak would be wrong.
 */
export function withoutWarning<S extends AbortSignal> (signal: S): S {
  setMaxListeners(0, signal)
  return signal
}

/** An AbortController whose signal any number may listen to. */
export function createAbortController (): AbortController {
  const controller = new AbortController()
  withoutWarning(controller.signal)
  return controller
}

/** Returns an AbortSignal for an API that accepts nothing else. */
export function toAbortSignal (signal: CancelSignal): AbortSignal {
  return signal instanceof Cancellation ? signal.abortSignal : signal as AbortSignal
}

export interface CancelListener { handleEvent (): void }

/**
 * An AbortController and its signal in one object, with a tenth of their memory (a kilobyte). A real AbortSignal is created
 * only when `abortSignal` is read.
 */
export class Cancellation implements CancelSignal {
  aborted = false
  reason: unknown
  #listeners: CancelListener[] = []
  #controller?: AbortController

  /** Cancels. Only the first call has an effect, so the first reason is kept. */
  abort (reason: unknown): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    const listeners = this.#listeners
    this.#listeners = []
    this.#controller?.abort(reason)
    for (const listener of listeners) listener.handleEvent()
  }

  /** The same cancellation as an AbortSignal; always the same object. */
  get abortSignal (): AbortSignal {
    this.#controller ??= createAbortController()
    if (this.aborted) this.#controller.abort(this.reason)
    return this.#controller.signal
  }

  throwIfAborted (): void {
    if (this.aborted) throw this.reason
  }

  /** Adds a listener, which is called at most once, and not for a cancellation in the past. */
  addEventListener (_type: 'abort', listener: CancelListener): void {
    // `concat` allocates an array of the exact size; a spread would leave room for sixteen more elements.
    this.#listeners = this.#listeners.concat(listener)
  }

  removeEventListener (_type: 'abort', listener: CancelListener): void {
    this.#listeners = this.#listeners.filter(other => other !== listener)
  }
}
