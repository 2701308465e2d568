import type { Message } from './schemas.ts'

/** A tool call as the model made it. Other fields, such as a signature of its reasoning, go back to the gateway unchanged. */
export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string, arguments: string }
  [more: string]: unknown
}

/** A message for the model: the conversation comes first, then this run's tool calls and their results. */
export type ModelMessage =
  | Message
  | { role: 'assistant', content: string | null, tool_calls: ToolCall[] }
  | { role: 'tool', tool_call_id: string, content: string }
