import type { Message } from './schemas.ts'

/** A tool's call as a model asked for it, with whatever else its gateway wants to be given back, such as a signature of its thoughts. */
export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string, arguments: string }
  [more: string]: unknown
}

/** What a model is sent: the conversation, then the tool calls of this run and their results. */
export type ModelMessage =
  | Message
  | { role: 'assistant', content: string | null, tool_calls: ToolCall[] }
  | { role: 'tool', tool_call_id: string, content: string }
