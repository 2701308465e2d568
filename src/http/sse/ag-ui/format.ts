import { SSE_HEADERS, SSE_PING } from '#shared/http/sse.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { toHttpChunk } from '../../bytes.js'
import type { History, StreamedRun, StreamFormat } from '../format.js'
import { AgUiEncoder } from './encoder.js'

/** The events of AG-UI. Each reader has an encoder of its own, which knows what the reader has. */
export function createAgUiFormat ({ runId, agentId, agUi }: StreamedRun, history: History): StreamFormat {
  const encoder = new AgUiEncoder(runId, history, agUi!)
  const { isTold } = agUi!
  const encodePlain = (seq: number, event: RunEvent): string => encoder.encode(seq, event)
  return {
    hasMarks: false,
    headers: SSE_HEADERS,
    // It is made when it is written, and not kept.
    get opening () { return encoder.open({ runId, agentId }, isTold) },
    get hasFailed () { return encoder.isOver },
    encode (seq, event) {
      const text = encodePlain(seq, event)
      // An empty chunk would be the last one.
      return text && toHttpChunk(text)
    },
    encodePlain,
    ping: SSE_PING,
    // Clients take each frame for an event.
    end: '',
    encodeReconnect: () => encoder.cutOff(),
    encodeCutOff: () => encoder.cutOff()
  }
}
