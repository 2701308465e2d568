import { randomUUID } from 'node:crypto'
import { errors } from '#shared/errors.ts'
import { jsonSizeWithin } from '#shared/bounds/json-size.ts'
import type { ToolCall } from '#shared/messages.ts'

/** The limit for the calls of one turn, to stop a model that repeats itself. */
const MAX_CALLS = 128

/** UTF-16 units of a call's id. Of its name the beginning is kept: a name that is longer is no tool's. */
const MAX_ID = 1_000
const MAX_NAME = 128
/** UTF-16 units of a call's arguments, and of its other fields as JSON. */
const MAX_ARGUMENTS = 256 * 1024
const MAX_FIELDS = 64 * 1024
/** UTF-16 units of all calls of a turn. */
const MAX_TURN = 1024 * 1024

/** Assembles the tool calls of a turn from their streamed pieces. */
export class ToolCallCollector {
  #calls: ToolCall[] = []
  /** Calls by the `index` of their pieces; created with the first call, because most turns have none. */
  #byIndex: Map<number, ToolCall> | undefined
  /** The sizes of the calls' other fields, by call and name. */
  #fields: Map<ToolCall, Map<string, number>> | undefined
  #length = 0

  /** The calls so far, in order. The array is always the same. */
  get calls (): ToolCall[] { return this.#calls }

  /** The length of all calls so far, in UTF-16 units. */
  get length (): number { return this.#length }

  /**
   * @param pieces `delta.tool_calls` of a frame, or `message.tool_calls` of a whole completion; ignored unless an array.
   * @throws {Error} if a turn has more than 128 calls.
   * @throws {ServiceError} `gateway_answer_too_long`, if a call or the turn is too long.
   */
  add (pieces: unknown): void {
    if (!Array.isArray(pieces)) return
    pieces.forEach((piece, position) => {
      if (piece !== null && typeof piece === 'object') this.#addPiece(piece, position)
    })
  }

  #addPiece ({ index, id, type, function: fn, ...fields }: Record<string, any>, position: number): void {
    const call = this.#find(Number.isInteger(index) ? index : position, id)
    const { id: idBefore, function: { name, arguments: args } } = call
    if (typeof id === 'string' && id) call.id = id
    if (typeof fn?.name === 'string') call.function.name = (name + fn.name.slice(0, MAX_NAME)).slice(0, MAX_NAME)
    // Some gateways send the arguments as an object instead of JSON text.
    const piece = fn?.arguments === undefined || fn.arguments === null ? '' : typeof fn.arguments === 'string' ? fn.arguments : JSON.stringify(fn.arguments)
    if (call.id.length > MAX_ID || args.length + piece.length > MAX_ARGUMENTS) throw errors.gatewayAnswerTooLong()
    call.function.arguments += piece
    this.#length += call.id.length - idBefore.length + call.function.name.length - name.length + piece.length
    for (const field of Object.keys(fields)) this.#setField(call, field, fields[field])
    if (this.#length > MAX_TURN) throw errors.gatewayAnswerTooLong()
  }

  /** Other fields go back to the gateway unchanged. A field of several pieces has the value of the last one. */
  #setField (call: ToolCall, name: string, value: unknown): void {
    const size = jsonSizeWithin(value, MAX_FIELDS)
    this.#fields ??= new Map()
    const sizes = this.#fields.get(call) ?? new Map<string, number>()
    this.#fields.set(call, sizes)
    const before = sizes.get(name) ?? 0
    if (size === undefined || name.length > MAX_ID) throw errors.gatewayAnswerTooLong()
    this.#length += name.length + size - before
    sizes.set(name, name.length + size)
    // By assignment, `__proto__` would be the call's prototype.
    Object.defineProperty(call, name, { value, enumerable: true, writable: true, configurable: true })
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
