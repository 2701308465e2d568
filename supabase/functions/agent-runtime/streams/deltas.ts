import type { RunEvent } from '../../_shared/schemas.ts'
import { type Bytes, encode, eventOf, type Frame } from './frame.ts'

/**
 * The bytes of a frame that two kinds of readers understand: those of this project by `type`, and those of OpenAI's chat
 * completions by `choices`, which is how the stream of an agent that is not heavy has always been.
 */
export function withDelta (frame: Frame): Bytes {
  const choice = frame.type === 'chunk' || frame.type === 'done' ? choiceOf(eventOf(frame)) : undefined
  if (!choice) return frame.bytes
  const data = `data: ${JSON.stringify({ ...eventOf(frame), choices: [choice] })}\n\n`
  return encode(frame.seq === 0 ? data : `id: ${frame.seq}\n${data}`)
}

function choiceOf (event: RunEvent): object | undefined {
  if (event.type === 'chunk') return { index: 0, delta: { content: event.content } }
  if (event.type === 'done') return { index: 0, delta: {}, finish_reason: event.finishReason ?? 'stop' }
}
