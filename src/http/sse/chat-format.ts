import { errors, restoreError } from '#shared/errors.ts'
import { SSE_DONE, SSE_HEADERS, SSE_PING } from '#shared/http/sse.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { toHttpChunk } from '../bytes.js'
import { finishReasonOf, toChatError, toChatUsage } from '../../contract/openai-chat.js'
import type { StreamedRun, StreamFormat } from './format.js'

/**
 * The chunks of OpenAI's chat completions. What the protocol cannot say is left out: tools that the agent has called are not
 * told, since a client would take them for calls that it has to answer.
 * @param hasUsage whether the usage follows the answer, as `stream_options.include_usage` asks.
 */
export function createChatFormat ({ runId, agentId, createdAt }: StreamedRun, hasUsage: boolean): StreamFormat {
  const head = { id: `chatcmpl-${runId}`, object: 'chat.completion.chunk', created: Math.floor(Date.parse(createdAt) / 1000), model: agentId }

  function frame (choices: object[], usage: object | null = null): string {
    return `data: ${JSON.stringify({ ...head, choices, ...(hasUsage ? { usage } : {}) })}\n\n`
  }

  const choice = (delta: object, finishReason: string | null = null): string => frame([{ index: 0, delta, logprobs: null, finish_reason: finishReason }])

  function encodePlain (_seq: number, event: RunEvent): string {
    if (event.type === 'started') return choice({ role: 'assistant', content: '' })
    if (event.type === 'chunk') return choice({ content: event.content })
    if (event.type === 'reasoning') return choice({ reasoning_content: event.content })
    if (event.type === 'done') return choice({}, finishReasonOf(event.finishReason)) + (hasUsage ? frame([], toChatUsage(event.usage)) : '')
    return event.type === 'error' ? encodeError(restoreError(event.code, event.error)) : ''
  }

  const cutOff = (): string => encodeError(errors.connectionEnded())
  return {
    hasMarks: false,
    headers: SSE_HEADERS,
    encode (seq, event) {
      const text = encodePlain(seq, event)
      // An empty chunk would be the last one.
      return text && toHttpChunk(text)
    },
    encodePlain,
    ping: SSE_PING,
    end: SSE_DONE,
    encodeReconnect: cutOff,
    encodeCutOff: cutOff
  }
}

function encodeError (error: Parameters<typeof toChatError>[0]): string {
  return `data: ${JSON.stringify(toChatError(error))}\n\n`
}
