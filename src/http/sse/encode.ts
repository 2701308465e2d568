import type { RunEvent } from '#shared/schemas.ts'
import type { Bytes } from '../../executor/events/event-log.js'
import { asciiHttpChunk, isPlain, toHttpChunk } from '../bytes.js'

/** Encodes a run's event as a frame of `text/event-stream`. Its number is the frame's id, from which a reader resumes. */
export function encodeSse (seq: number, event: RunEvent): string {
  return `id: ${seq}\ndata: ${JSON.stringify(event)}\n\n`
}

/** Encodes the frame as a chunk of HTTP's chunked transfer coding. */
export function encodeSseChunk (seq: number, event: RunEvent): Bytes {
  // Nearly all events are texts that need no escape.
  return event.type === 'chunk' && isPlain(event.content)
    ? asciiHttpChunk(`id: ${seq}\ndata: {"type":"chunk","content":"${event.content}"}\n\n`)
    : toHttpChunk(encodeSse(seq, event))
}

/** The last frame of a stream whose run has ended. */
export const SSE_DONE = 'data: [DONE]\n\n'

/** A comment that keeps proxies from closing a quiet stream. */
export const SSE_PING = ': ping\n\n'

/** Encodes that the connection ends and the run does not. The frame has no id, since it is no event of the run. */
export function encodeReconnect (after: number): string {
  return `data: ${JSON.stringify({ type: 'reconnect', after })}\n\n`
}

export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
}
