import { randomUUID } from 'node:crypto'
import type { ToolCall } from '#shared/messages.ts'

/** The limit for the calls of one turn, to stop a model that repeats itself. */
const MAX_CALLS = 128

/** Assembles the tool calls of a turn from their streamed pieces. */
export class ToolCallCollector {
  #calls: ToolCall[] = []
  /** Calls by the `index` of their pieces; created with the first call, because most turns have none. */
  #byIndex: Map<number, ToolCall> | undefined
  #length = 0

  /** The calls so far, in order. The array is always the same. */
  get calls (): ToolCall[] { return this.#calls }

  /** The length of all arguments so far, in UTF-16 units. */
  get length (): number { return this.#length }

  /**
   * @param pieces `delta.tool_calls` of a frame, or `message.tool_calls` of a whole completion; ignored unless an array.
   * @throws {Error} if a turn has more than 128 calls.
   */
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
    // Some gateways send the arguments as an object instead of JSON text.
    if (fn?.arguments !== undefined && fn.arguments !== null) {
      call.function.arguments += typeof fn.arguments === 'string' ? fn.arguments : JSON.stringify(fn.arguments)
    }
    this.#length += call.function.arguments.length - before
    Object.assign(call, more)
  }

  /** Some gateways give all calls of a turn the same index, so a different id begins a new call. */
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
 * Returns a turn's calls in a form that gateways accept in a conversation: invalid characters of names are replaced, and
 * arguments that are not a JSON object become `{}`. The originals are not modified.
 */
export function toSendable (calls: readonly ToolCall[]): ToolCall[] {
  return calls.map(call => ({
    ...call,
    function: { name: call.function.name.replace(/[^\w-]/g, '_').slice(0, 64) || 'tool', arguments: toObject(call.function.arguments) }
  }))
}

/** Returns copies of the calls in which repeated ids are replaced by new ones. */
export function withUniqueIds (calls: readonly ToolCall[]): ToolCall[] {
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
