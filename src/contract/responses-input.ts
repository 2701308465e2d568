import { refuse } from '#shared/http/refuse.ts'
import { type CalledTool, type ContentPart, IMAGE_URL, type Message, type ResponseFormat } from '#shared/schemas.ts'
import { itemIdOf } from './responses.js'
import type { InputItem, TextFormat } from './responses-schemas.js'

// What clients of OpenAI's Responses send, as it is kept, and as the messages of a run.

type StoredPart =
  | { type: 'input_text', text: string }
  | { type: 'output_text', text: string, annotations: [] }
  | { type: 'refusal', refusal: string }
  | { type: 'input_image', image_url: string, detail: string }

/** An item as it is kept, and told again. An id is the client's. */
export type StoredItem =
  | { type: 'message', id?: string, role: 'user' | 'assistant' | 'system' | 'developer', content: StoredPart[] }
  | { type: 'function_call', id?: string, call_id: string, name: string, arguments: string }
  | { type: 'function_call_output', id?: string, call_id: string, output: string }

const ROLES: readonly unknown[] = ['user', 'assistant', 'system', 'developer']
/** Types of the items that this service answers with, beside messages: clients send them back, and the agent knows what it needs of them. */
const OWN_ITEMS: readonly unknown[] = ['reasoning', 'mcp_call', 'mcp_list_tools']

/**
 * Reads what a client has sent; what this service's own answers have beside messages is left out.
 * @throws {ServiceError} bad_request, with the path of the first item that cannot be taken.
 */
export function readItems (input: string | readonly InputItem[]): StoredItem[] {
  if (typeof input === 'string') return [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: input }] }]
  const placed = input.flatMap((item, index) => OWN_ITEMS.includes(item.type) ? [] : [{ item: readItem(item, `input.${index}`), path: `input.${index}` }])
  if (placed.length === 0) refuse('input', 'has no message')
  refuseUnmatched(placed)
  return placed.map(({ item }) => item)
}

function readItem (item: InputItem, path: string): StoredItem {
  const id = item.id ? { id: item.id } : {}
  const type = item.type ?? 'message'
  if (type === 'function_call') {
    return { type, ...id, call_id: textOf(item.call_id, `${path}.call_id`), name: textOf(item.name, `${path}.name`), arguments: item.arguments ?? '' }
  }
  if (type === 'function_call_output') return { type, ...id, call_id: textOf(item.call_id, `${path}.call_id`), output: readOutput(item.output, `${path}.output`) }
  if (type !== 'message') refuse(`${path}.type`, 'must be one of message, function_call, function_call_output')
  if (!ROLES.includes(item.role)) refuse(`${path}.role`, `must be one of ${ROLES.join(', ')}`)
  return { type, ...id, role: item.role as 'user', content: readContent(item.content, item.role === 'assistant', `${path}.content`) }
}

function readContent (content: unknown, isAnswer: boolean, path: string): StoredPart[] {
  if (typeof content === 'string') return [toText(content, isAnswer)]
  if (!Array.isArray(content) || content.length === 0) refuse(path, 'must be a string, or parts')
  return content.map((part, index) => readPart(part, isAnswer, `${path}.${index}`))
}

function readPart (part: Record<string, unknown> | null, isAnswer: boolean, path: string): StoredPart {
  const { type, text, refusal, image_url: url, detail } = Object(part) as Record<string, unknown>
  if (type === 'input_text' || type === 'output_text') return toText(textOf(text, `${path}.text`, true), isAnswer)
  if (type === 'refusal') return { type, refusal: textOf(refusal, `${path}.refusal`, true) }
  if (type !== 'input_image') refuse(`${path}.type`, 'must be one of input_text, output_text, refusal, input_image')
  if (typeof url !== 'string' || !IMAGE_URL.test(url)) refuse(`${path}.image_url`, 'must be an http, https or data URL')
  return { type, image_url: url, detail: typeof detail === 'string' ? detail : 'auto' }
}

function toText (text: string, isAnswer: boolean): StoredPart {
  return isAnswer ? { type: 'output_text', text, annotations: [] } : { type: 'input_text', text }
}

/** What a tool of the client has found: a text, or parts of text. */
function readOutput (output: unknown, path: string): string {
  if (typeof output === 'string') return output
  if (!Array.isArray(output)) refuse(path, 'must be a string, or parts of text')
  return output.map((part, index) => textOf(Object(part).text, `${path}.${index}.text`, true)).join('')
}

function textOf (value: unknown, path: string, mayBeEmpty = false): string {
  if (typeof value !== 'string' || (value === '' && !mayBeEmpty)) refuse(path, 'is required')
  return value
}

/** Gateways take the results of calls right behind these alone. */
function refuseUnmatched (placed: ReadonlyArray<{ item: StoredItem, path: string }>): void {
  /** The calls that have no output yet, by their ids, each with its path. */
  const open = new Map<string, string>()
  for (const [index, { item, path }] of placed.entries()) {
    if (item.type === 'function_call_output') {
      if (!open.delete(item.call_id)) refuse(`${path}.call_id`, 'is no id of a call before it that has no output')
      continue
    }
    const isOfTurn = item.type === 'function_call' && placed[index - 1]?.item.type === 'function_call'
    if (!isOfTurn) refuseOpen(open)
    if (item.type !== 'function_call') continue
    if (open.has(item.call_id)) refuse(`${path}.call_id`, 'is the id of another call')
    open.set(item.call_id, path)
  }
  refuseOpen(open)
}

function refuseOpen (open: ReadonlyMap<string, string>): void {
  for (const path of open.values()) refuse(path, 'has no output: a function_call_output with its call_id must follow')
}

/** The items as messages. Calls that stand side by side are those of one turn. */
export function toMessages (items: readonly StoredItem[]): Message[] {
  const messages: Message[] = []
  for (const [index, item] of items.entries()) {
    if (item.type === 'message') messages.push(toMessage(item))
    else if (item.type === 'function_call_output') messages.push({ role: 'tool', tool_call_id: item.call_id, content: item.output })
    else if (items[index - 1]?.type === 'function_call') messages.at(-1)!.tool_calls!.push(toCall(item))
    else messages.push({ role: 'assistant', content: null, tool_calls: [toCall(item)] })
  }
  return messages
}

function toMessage ({ role, content }: Extract<StoredItem, { type: 'message' }>): Message {
  const [first] = content
  if (content.length === 1 && first && 'text' in first) return { role, content: first.text }
  return { role, content: content.map(toPart) }
}

function toPart (part: StoredPart): ContentPart {
  if (part.type === 'input_image') return { type: 'image_url', image_url: { url: part.image_url, detail: part.detail } }
  return { type: 'text', text: part.type === 'refusal' ? part.refusal : part.text }
}

function toCall ({ call_id: id, name, arguments: json }: Extract<StoredItem, { type: 'function_call' }>): CalledTool {
  return { id, type: 'function', function: { name, arguments: json } }
}

/** The items as they are told, each with an id. */
export function toToldItems (runId: string, items: readonly StoredItem[]): Array<StoredItem & { id: string, status: string }> {
  return items.map((item, index) => ({ ...item, id: item.id ?? itemIdOf(item.type === 'message' ? 'msg' : 'fc', runId, `in${index}`), status: 'completed' }))
}

/**
 * A page of items.
 * @param after the last item of the page before.
 * @throws {ServiceError} bad_request, if `after` is none.
 */
export function pageOf (items: Array<StoredItem & { id: string }>, { after, limit, order }: { after?: string, limit: number, order: 'asc' | 'desc' }) {
  const ordered = order === 'asc' ? items : items.toReversed()
  const place = after === undefined ? -1 : ordered.findIndex(({ id }) => id === after)
  if (after !== undefined && place === -1) refuse('after', 'is the id of no item')
  const data = ordered.slice(place + 1, place + 1 + limit)
  return { object: 'list' as const, data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: place + 1 + limit < items.length }
}

/** The format as chat completions have it; undefined for text. */
export function toResponseFormat ({ type, ...schema }: TextFormat): ResponseFormat | undefined {
  if (type === 'text') return undefined
  return type === 'json_schema' ? { type, json_schema: schema } : { type }
}
