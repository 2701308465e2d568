import { setTimeout as delay } from 'node:timers/promises'

/** How long `stop` waits for a round that is under way, in milliseconds. */
const STOP_MS = 500

export interface PollOptions {
  /** From the beginning of one round to the next, in milliseconds. */
  everyMs: number
  task (): Promise<void>
  /** Takes the error of a round that failed; the next round comes all the same. Must not reject. */
  onError (error: unknown): Promise<void> | void
  /** A round succeeded. */
  onSuccess? (): void
}

/**
 * Runs a task now and then again and again, never twice at a time: a round that is due while another is under way is
 * left out.
 * @returns `stop`: no further round begins; it resolves when the one under way has ended, or after 500 ms.
 */
export function poll ({ everyMs, task, onError, onSuccess }: PollOptions): () => Promise<void> {
  let running: Promise<unknown> = Promise.resolve()
  let isBusy = false
  const round = () => {
    if (isBusy) return
    isBusy = true
    running = task().then(onSuccess, onError).finally(() => { isBusy = false })
  }
  const timer = setInterval(round, everyMs).unref()
  const first = setImmediate(round)
  return async () => {
    clearInterval(timer)
    clearImmediate(first)
    await Promise.race([running, delay(STOP_MS, undefined, { ref: false })])
  }
}
