import type { CalledTool, ContentPart, Message } from './schemas.ts'
import { toStorable } from './text.ts'

/** A tool call as the model made it. Other fields, here and within `function`, such as a signature of its reasoning, go back to the gateway unchanged. */
export interface ToolCall {
  id: string
  type: 'function'
  function: { name: string, arguments: string, [more: string]: unknown }
  [more: string]: unknown
}

type Content = string | ContentPart[]

/** A message for the model: the conversation comes first, then this run's tool calls and their results. */
export type ModelMessage =
  | { role: 'user' | 'assistant' | 'system' | 'developer', content: Content, name?: string }
  | { role: 'assistant', content: Content | null, tool_calls: ToolCall[], name?: string, origin?: Origin }
  | { role: 'tool', tool_call_id: string, content: Content, name?: string }

/**
 * The names under which gateways give what they want back with the results of a turn's tool calls: `reasoning_content`
 * (DeepSeek), `reasoning_details` (OpenRouter), `extra_content` (Google), `thinking_blocks` and `provider_specific_fields`
 * (LiteLLM), signatures of any name. All other fields are a gateway's own, and many gateways refuse what they do not know.
 */
export const RETURNED_FIELD = /^(reasoning|thinking|thought)|signature|^(extra_content|provider_specific_fields)$/

/** From which model a turn of this run is, by the name that was asked for, and what it wants back with the results of its calls. */
export interface Origin { model: string, extra?: Record<string, unknown> }

/**
 * The messages as a model is sent them: to the model that made a turn with all that it wants back, to any other without that,
 * since gateways refuse what they do not know, and no model reads another's signatures.
 */
export function toSentMessages (messages: readonly ModelMessage[], model: string): object[] {
  return messages.map(message => 'origin' in message ? toSentTurn(message, model) : message)
}

function toSentTurn ({ origin, ...message }: Extract<ModelMessage, { tool_calls: ToolCall[] }>, model: string): object {
  const isOwn = origin?.model === model
  const calls = message.tool_calls.map(({ id, type, function: { name, arguments: json, ...fields }, ...others }) => ({
    id, type, function: { name, arguments: json, ...(isOwn ? returned(fields) : {}) }, ...(isOwn ? returned(others) : {})
  }))
  return { ...(isOwn ? origin.extra : {}), ...message, tool_calls: calls }
}

function returned (fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => RETURNED_FIELD.test(name)))
}

/**
 * The messages with the properties of the contract alone, their texts as every store takes them, so that each attempt sends
 * the same. A gateway refuses properties that it does not know, and a caller must not decide what it is asked.
 * @param messages of which `checkMessages` has found nothing wrong.
 */
export function toKnownMessages (messages: readonly Message[]): ModelMessage[] {
  return messages.map(toKnownMessage)
}

function toKnownMessage ({ role, content, name, tool_calls, tool_call_id }: Message): ModelMessage {
  const known = { content: toKnownContent(content ?? ''), ...(name ? { name: toStorable(name) } : {}) }
  if (role === 'tool') return { role, tool_call_id: toStorable(tool_call_id ?? ''), ...known }
  if (role !== 'assistant' || !tool_calls?.length) return { role, ...known }
  return { role, ...known, content: content == null ? null : known.content, tool_calls: tool_calls.map(toKnownCall) }
}

function toKnownCall ({ id, function: { name, arguments: json } }: CalledTool): ToolCall {
  return { id: toStorable(id), type: 'function', function: { name: toStorable(name), arguments: toStorable(json) } }
}

function toKnownContent (content: Content): Content {
  return typeof content === 'string' ? toStorable(content) : content.map(toKnownPart)
}

function toKnownPart (part: ContentPart): ContentPart {
  if (part.type === 'text') return { type: 'text', text: toStorable(part.text) }
  const { url, detail } = part.image_url
  return { type: 'image_url', image_url: { url: toStorable(url), ...(detail === undefined ? {} : { detail: toStorable(detail) }) } }
}
