import type { ModelMessage, ToolCall } from '../messages.ts'
import { toStorable } from '../text.ts'

/** Characters of all texts of one attribute. */
const MAX_TEXTS = 12_000
/** Messages of one attribute: the last ones. */
const MAX_MESSAGES = 64
const MAX_CALLS = 16
const CUT = '…'

interface Part { type: string, content?: string, id?: string, name?: string, arguments?: string, response?: string }

/** `gen_ai.input.messages`: the last messages of a conversation, as far as they fit. */
export function describeInput (messages: readonly ModelMessage[]): string {
  const room = new Room()
  const kept: object[] = []
  for (const message of messages.slice(-MAX_MESSAGES).reverse()) {
    if (room.isFull) break
    kept.unshift({ role: message.role, parts: partsOf(message, room) })
  }
  return JSON.stringify(kept)
}

/** `gen_ai.output.messages`: what a model has answered. */
export function describeOutput (text: string, calls: readonly ToolCall[], finishReason: string | null): string {
  const room = new Room()
  const parts = [...textParts(text, room), ...calls.slice(0, MAX_CALLS).map(call => callPart(call, room))]
  return JSON.stringify([{ role: 'assistant', parts, finish_reason: finishReason ?? 'stop' }])
}

/** A text, cut. */
export function describeText (text: string): string {
  return new Room().take(text)
}

function partsOf (message: ModelMessage, room: Room): Part[] {
  const { content } = message
  const text = typeof content === 'string' ? content : (content ?? []).map(part => part.type === 'text' ? part.text : '[image]').join('\n')
  if (message.role === 'tool') return [{ type: 'tool_call_response', id: message.tool_call_id, response: room.take(text) }]
  const calls = 'tool_calls' in message ? message.tool_calls : []
  return [...textParts(text, room), ...calls.slice(0, MAX_CALLS).map(call => callPart(call, room))]
}

function textParts (text: string, room: Room): Part[] {
  return text === '' ? [] : [{ type: 'text', content: room.take(text) }]
}

function callPart ({ id, function: { name, arguments: json } }: ToolCall, room: Room): Part {
  return { type: 'tool_call', id: room.take(id), name: room.take(name), arguments: room.take(json) }
}

/** How much still fits. */
class Room {
  #left = MAX_TEXTS

  get isFull (): boolean { return this.#left <= 0 }

  /** As much of a text as fits. */
  take (text: string): string {
    const taken = text.length > this.#left ? toStorable(text.slice(0, Math.max(0, this.#left))) + CUT : text
    this.#left -= taken.length
    return taken
  }
}
