import type { RunEvent } from '#shared/schemas.ts'
import type { Encoder } from '../../executor/events/event-log.js'

/** How a run's events are written to a client. */
export interface StreamFormat {
  readonly headers: Readonly<Record<string, string>>
  /** Encodes an event as a chunk of HTTP's chunked transfer coding, once for all readers of the format. */
  readonly encode: Encoder
  /** Encodes an event without the transfer coding, for a client of HTTP/1.0. */
  encodePlain (seq: number, event: RunEvent, runId: string): string
  /** What keeps a quiet stream open. */
  readonly ping: string
  /** The end of a stream whose run has ended. */
  readonly end: string
  /** The end of a stream whose run goes on. @param after the number of the last event that was sent. */
  encodeReconnect (after: number): string
  /** The same for a reader that does not know `reconnect`. */
  encodeCutOff (runId: string): string
}
