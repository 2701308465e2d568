import type { Message } from '../schemas.ts'
import { refuse } from './refuse.ts'

/** The calls of an assistant's message that have no result yet, by their ids, each with its place. */
type OpenCalls = Map<string, string>

/**
 * Checks what the schema of a message cannot say: which properties a role needs, and that the calls of tools and their
 * results belong together, as gateways demand it.
 * @throws {ServiceError} bad_request, with the place of the first problem in `details`.
 */
export function checkMessages (messages: readonly Message[]): void {
  let open: OpenCalls = new Map()
  let done = new Set<string>()
  messages.forEach((message, index) => {
    const place = `messages.${index}`
    checkContent(message, place)
    if (message.role === 'tool') return takeResult(message, place, open, done)
    refuseUnanswered(open)
    open = callsOf(message, place)
    done = new Set()
  })
  refuseUnanswered(open)
}

function checkContent ({ role, content, tool_calls: calls }: Message, place: string): void {
  if (content != null || (role === 'assistant' && calls?.length)) return
  refuse(`${place}.content`, content === undefined ? 'is required' : 'must be a string or parts: only an assistant\'s message with tool_calls may have null')
}

function callsOf ({ role, tool_calls: calls }: Message, place: string): OpenCalls {
  const open: OpenCalls = new Map()
  if (role !== 'assistant') return open
  calls?.forEach(({ id }, index) => {
    const at = `${place}.tool_calls.${index}`
    if (open.has(id)) refuse(`${at}.id`, 'is the id of another call of this message')
    open.set(id, at)
  })
  return open
}

function takeResult ({ tool_call_id: id }: Message, place: string, open: OpenCalls, done: Set<string>): void {
  const path = `${place}.tool_call_id`
  if (!id) refuse(path, 'is required')
  if (done.has(id)) refuse(path, 'is the id of a call that has a result already')
  if (open.size === 0 && done.size === 0) refuse(path, 'has no call before it: a tool\'s message follows an assistant\'s with tool_calls')
  if (!open.delete(id)) refuse(path, 'is no id of the tool_calls before it')
  done.add(id)
}

/** Gateways refuse a conversation that goes on before each call has its result. */
function refuseUnanswered (open: OpenCalls): void {
  for (const at of open.values()) refuse(at, 'has no result: a tool\'s message with its id must follow')
}
