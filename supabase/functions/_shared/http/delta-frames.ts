import type { RunEvent } from '../schemas.ts'
import { encodeSse } from './sse.ts'

/**
 * An event as a frame that two kinds of readers understand: those of this project by `type`, and those of OpenAI's chat
 * completions by `choices`, which is how the stream of an agent that is not heavy has always been.
 */
export function encodeSseWithDelta (seq: number, event: RunEvent): string {
  return encodeSse(seq, withDelta(event))
}

function withDelta (event: RunEvent): RunEvent {
  if (event.type === 'chunk') return Object.assign({}, event, { choices: [{ index: 0, delta: { content: event.content } }] })
  if (event.type === 'done') return Object.assign({}, event, { choices: [{ index: 0, delta: {}, finish_reason: event.finishReason ?? 'stop' }] })
  return event
}
