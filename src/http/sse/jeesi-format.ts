import { encodeCutOff, encodeReconnect, encodeSse, SSE_DONE, SSE_HEADERS, SSE_PING } from '#shared/http/sse.ts'
import { encodeSseChunk } from './encode.js'
import type { StreamFormat } from './format.js'

/** The service's own events as SSE. */
export const jeesiFormat: StreamFormat = {
  hasMarks: true,
  headers: SSE_HEADERS,
  encode: encodeSseChunk,
  encodePlain: encodeSse,
  ping: SSE_PING,
  end: SSE_DONE,
  encodeReconnect,
  encodeCutOff
}
