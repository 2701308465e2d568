import type { NumberedEvent, RunOptions } from './client-types.js'

/** Milliseconds without a byte, after which a connection is dead: the service writes one every 15 s. */
const SILENCE_MS = 45_000

/** One run as a connection finds it: to be begun, or to be gone on with from its last event. */
export interface Position {
  runId: string | undefined
  /** The last event that has come. */
  after: number
  /** When the service was last heard, be it by a ping, in milliseconds since 1970. */
  heardAt: number
  readonly idempotencyKey: string
}

/** The last event of a connection that ends before its run. */
export interface Reconnect { type: 'reconnect' }

/** Opens a connection and yields the run's events. `token` gives another one each time; `over` breaks it off. */
export type Connect = (options: RunOptions, position: Position, token: () => Promise<string>, over: AbortSignal) => Events
export type Events = AsyncGenerator<NumberedEvent | Reconnect, void, void>

/** Calls `onSilence` once nothing has been heard for long. */
export function watch (position: Position, onSilence: () => void): { heard (): void, stop (): void } {
  let timer = setTimeout(onSilence, SILENCE_MS)
  const stop = () => clearTimeout(timer)
  return {
    heard () {
      stop()
      timer = setTimeout(onSilence, SILENCE_MS)
      position.heardAt = Date.now()
    },
    stop
  }
}
