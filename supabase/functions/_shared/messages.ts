import type { ContentPart, Message } from './schemas.ts'

/** A tool call as the model made it. Other fields, here and within `function`, such as a signature of its reasoning, go back to the gateway unchanged. */
export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string, arguments: string, [more: string]: unknown }
  [more: string]: unknown
}

/** A message for the model: the conversation comes first, then this run's tool calls and their results. */
export type ModelMessage =
  | Message
  | { role: 'assistant', content: string | null, tool_calls: ToolCall[] }
  | { role: 'tool', tool_call_id: string, content: string }

/**
 * The messages with the properties of the contract alone. A gateway refuses properties that it does not know, and a caller
 * must not decide what it is asked.
 */
export function toKnownMessages (messages: readonly Message[]): Message[] {
  return messages.map(({ role, content, name }) => ({
    role,
    content: typeof content === 'string' ? content : content.map(toKnownPart),
    ...(name ? { name } : {})
  }))
}

function toKnownPart (part: ContentPart): ContentPart {
  if (part.type === 'text') return { type: 'text', text: part.text }
  const { url, detail } = part.image_url
  return { type: 'image_url', image_url: { url, ...(detail === undefined ? {} : { detail }) } }
}
