import type { RunEvent } from '../schemas.js'

/** A run's event as a frame of `text/event-stream`; its number is the frame's id, from which a reader can resume. */
export function encodeSse (seq: number, event: RunEvent): string {
  return `id: ${seq}\ndata: ${JSON.stringify(event)}\n\n`
}

/** The same as a chunk of HTTP's chunked transfer coding (RFC 9112, 7.1), which goes to a socket in one piece. */
export function encodeSseChunk (seq: number, event: RunEvent): string {
  return toChunk(encodeSse(seq, event))
}

function toChunk (text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
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
  'x-accel-buffering': 'no',
  // An open stream would keep the server from closing.
  connection: 'close'
}
