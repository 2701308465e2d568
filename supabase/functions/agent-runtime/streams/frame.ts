import { encodeSse } from '../../_shared/http/sse.ts'
import type { RunEvent } from '../../_shared/schemas.ts'
import type { NumberedEvent } from '../../_shared/trace.ts'

export type Bytes = Uint8Array<ArrayBuffer>

/** An event of a run as the bytes of its frame; it is parsed only where that is needed. */
export interface Frame {
  /** The event's number; 0 if the stream gave it none. */
  readonly seq: number
  readonly type: string
  readonly bytes: Bytes
  /** The event, if it did not come as bytes. */
  readonly event?: RunEvent
}

/**
 * Frames of a run, those of one network read at a time. Returns whether the run has ended; otherwise its frames go on
 * elsewhere.
 */
export type Frames = AsyncGenerator<Frame[], boolean>

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function encode (text: string): Bytes {
  return encoder.encode(text)
}

/** An event of this function's own, or of the database, as a frame. */
export function toFrame ({ seq, event }: NumberedEvent): Frame {
  return { seq, type: event.type, event, bytes: encode(encodeSse(seq, event)) }
}

/** The event of a frame. @throws {SyntaxError} if its data is no JSON. */
export function eventOf ({ event, bytes }: Frame): RunEvent {
  return event ?? JSON.parse(/^data: ?([^\n]*)/m.exec(decoder.decode(bytes))?.[1] ?? '')
}
