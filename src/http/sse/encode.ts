import type { RunEvent } from '#shared/schemas.ts'
import type { Bytes } from '../../executor/events/event-log.js'
import { asciiHttpChunk, isPlain, toHttpChunk } from '../bytes.js'

/** A run's event as a frame of `text/event-stream`; its number is the frame's id, from which a reader can resume. */
export function encodeSse (seq: number, event: RunEvent): string {
  return `id: ${seq}\ndata: ${JSON.stringify(event)}\n\n`
}

/** The same as a chunk of HTTP's chunked transfer coding. */
export function encodeSseChunk (seq: number, event: RunEvent): Bytes {
  // Nearly all events are such texts.
  return event.type === 'chunk' && isPlain(event.content)
    ? asciiHttpChunk(`id: ${seq}\ndata: {"type":"chunk","content":"${event.content}"}\n\n`)
    : toHttpChunk(encodeSse(seq, event))
}

/** The last frame of a stream whose run has ended. */
export const SSE_DONE = 'data: [DONE]\n\n'

/** A comment, so that no proxy takes a quiet stream for a dead one. */
export const SSE_PING = ': ping\n\n'

/** The connection ends and the run does not; it has no id, for it is no event of the run. */
export function encodeReconnect (after: number): string {
  return `data: ${JSON.stringify({ type: 'reconnect', after })}\n\n`
}

export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
}
