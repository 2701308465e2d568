import { randomUUID } from 'node:crypto'
import type { ToolCall } from '#shared/messages.ts'

/** More calls in one turn than any model makes on purpose. */
const MAX_CALLS = 128

/** Puts a turn's tool calls together from the pieces in which they stream. */
export class ToolCallCollector {
  #calls: ToolCall[] = []
  /** Calls by the index that their pieces bear; most turns have none. */
  #byIndex: Map<number, ToolCall> | undefined
  #length = 0

  /** As they stream; complete when the turn is. */
  get calls (): ToolCall[] { return this.#calls }

  /** How many characters they have come to. */
  get length (): number { return this.#length }

  /** @param pieces `delta.tool_calls` of a frame, or `message.tool_calls` of a whole answer. */
  add (pieces: unknown): void {
    if (!Array.isArray(pieces)) return
    pieces.forEach((piece, position) => {
      if (piece !== null && typeof piece === 'object') this.#addPiece(piece, position)
    })
  }

  #addPiece ({ index, id, type, function: fn, ...more }: Record<string, any>, position: number): void {
    const call = this.#find(Number.isInteger(index) ? index : position, id)
    if (typeof id === 'string' && id) call.id = id
    if (typeof fn?.name === 'string') call.function.name += fn.name
    const before = call.function.arguments.length
    // Some gateways send the arguments as the object that they are.
    if (fn?.arguments !== undefined && fn.arguments !== null) {
      call.function.arguments += typeof fn.arguments === 'string' ? fn.arguments : JSON.stringify(fn.arguments)
    }
    this.#length += call.function.arguments.length - before
    Object.assign(call, more)
  }

  /** Some gateways give all calls of a turn the same index: a new id is a new call. */
  #find (index: number, id: unknown): ToolCall {
    const known = this.#byIndex?.get(index)
    const isNew = !known || (typeof id === 'string' && id !== '' && known.function.name !== '' && id !== known.id)
    if (!isNew) return known
    if (this.#calls.length === MAX_CALLS) throw new Error(`more than ${MAX_CALLS} tool calls in one turn`)
    const call: ToolCall = { id: `call_${randomUUID()}`, type: 'function', function: { name: '', arguments: '' } }
    this.#calls.push(call)
    this.#byIndex ??= new Map()
    this.#byIndex.set(index, call)
    return call
  }
}

/**
 * A turn's calls as they can be sent back: each with an id of its own, a name that names take, and arguments that are a
 * JSON object, for gateways refuse a conversation with any other. What the model really wrote stays in `calls`.
 */
export function toSendable (calls: readonly ToolCall[]): ToolCall[] {
  return calls.map(call => ({
    ...call,
    function: { name: call.function.name.replace(/[^\w-]/g, '_').slice(0, 64) || 'tool', arguments: toObject(call.function.arguments) }
  }))
}

/** The same calls, of which no two have one id. */
export function withOwnIds (calls: readonly ToolCall[]): ToolCall[] {
  const taken = new Set<string>()
  return calls.map(call => {
    const id = taken.has(call.id) ? `call_${randomUUID()}` : call.id
    taken.add(id)
    return { ...call, id }
  })
}

function toObject (json: string): string {
  try {
    const value = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? json : '{}'
  } catch {
    return '{}'
  }
}
