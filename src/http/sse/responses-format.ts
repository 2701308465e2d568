import { errors } from '#shared/errors.ts'
import { SSE_HEADERS, SSE_PING } from '#shared/http/sse.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { isFinal } from '#shared/final-event.ts'
import { toHttpChunk } from '../bytes.js'
import { isBeforeAttempt } from '../responses/numbers.js'
import { type ResponseEvent, ResponseRecorder } from '../responses/recorder.js'
import type { StreamedRun, StreamFormat } from './format.js'

/**
 * The events of OpenAI's Responses. They are made by reading the run from its beginning, and what the client has already, up to the
 * number `startingAfter`, is left out.
 */
export function createResponsesFormat ({ head, startingAfter = -1 }: NonNullable<StreamedRun['asResponse']>): StreamFormat {
  const recorder = new ResponseRecorder(head)
  const error = (problem: Parameters<ResponseRecorder['toError']>[0]): string => frame(recorder.toError(problem))
  const cutOff = (): string => error(errors.connectionEnded())
  let isStale: boolean | undefined

  function encodePlain (seq: number, event: RunEvent): string {
    isStale ??= isBeforeAttempt(startingAfter, seq)
    if (isStale) return error(errors.answerChanged())
    const told = recorder.take(seq, event)
    const last = told.at(-1)
    // Of a run whose events are gone the end is left, and has a smaller number than what the client had before.
    if (last && isFinal(event) && last.sequence_number < startingAfter) return frame(last)
    return told.filter(({ sequence_number: number }) => recorder.hasFailed || number > startingAfter).map(frame).join('')
  }

  return {
    hasMarks: false,
    headers: SSE_HEADERS,
    opening: startingAfter < 0 ? frame(recorder.begin()) : undefined,
    get hasFailed () { return isStale === true || recorder.hasFailed },
    encode (seq, event) {
      const text = encodePlain(seq, event)
      // An empty chunk would be the last one.
      return text && toHttpChunk(text)
    },
    encodePlain,
    ping: SSE_PING,
    end: '',
    encodeReconnect: cutOff,
    encodeCutOff: cutOff
  }
}

function frame (event: ResponseEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}
