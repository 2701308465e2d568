import { encodeSse } from '#shared/http/sse.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { Bytes } from '../../executor/events/event-log.js'
import { asciiHttpChunk, isPlain, toHttpChunk } from '../bytes.js'

/** An event of a run as an SSE frame, within a chunk of HTTP's chunked transfer coding. */
export function encodeSseChunk (seq: number, event: RunEvent): Bytes {
  // Nearly all events are plain chunks, which need no escaping.
  return event.type === 'chunk' && isPlain(event.content)
    ? asciiHttpChunk(`id: ${seq}\ndata: {"type":"chunk","content":"${event.content}"}\n\n`)
    : toHttpChunk(encodeSse(seq, event))
}
