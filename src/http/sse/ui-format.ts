import { SSE_DONE, SSE_HEADERS, SSE_PING } from '#shared/http/sse.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { toHttpChunk } from '../bytes.js'
import type { History, StreamedRun, StreamFormat } from './format.js'
import { UiEncoder } from './ui-encoder.js'

export const UI_HEADERS = { ...SSE_HEADERS, 'x-vercel-ai-ui-message-stream': 'v1' }

/** A stream of nothing: there is no message, and none will come. */
export const UI_NOTHING = `data: ${JSON.stringify({ type: 'finish' })}\n\n${SSE_DONE}`

/** The AI SDK's UI message stream. Each reader has an encoder of its own, which knows what the reader has. */
export function createUiFormat (run: StreamedRun, history: History): StreamFormat {
  const encoder = new UiEncoder(run, history, run.ui ?? { protocol: '5', startIndex: 0 })
  const encodePlain = (seq: number, event: RunEvent): string => encoder.encode(seq, event)
  return {
    hasMarks: false,
    headers: UI_HEADERS,
    encode (seq, event) {
      const text = encodePlain(seq, event)
      // An empty chunk would be the last one.
      return text && toHttpChunk(text)
    },
    encodePlain,
    ping: SSE_PING,
    end: SSE_DONE,
    encodeReconnect: () => '',
    encodeCutOff: () => '',
    state: () => encoder.state,
    replacing: cursor => encoder.replacing(cursor)
  }
}
