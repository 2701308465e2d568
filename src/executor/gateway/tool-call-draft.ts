import { randomUUID } from 'node:crypto'
import { jsonSizeWithin } from '#shared/bounds/json-size.ts'
import { errors } from '#shared/errors.ts'
import type { ToolCall } from '#shared/messages.ts'
import { isEmptyObject, isWholeObject, JsonExtent } from './json-extent.js'

/** UTF-16 units of a call's id. Of its name the beginning is kept: a name that is longer is no tool's. */
const MAX_ID = 1_000
const MAX_NAME = 128
/** UTF-16 units of a call's arguments, and of each of its other fields as JSON. */
const MAX_ARGUMENTS = 256 * 1024
const MAX_FIELD = 64 * 1024

/** A piece of a call as a gateway sends it, with what is of no use replaced by nothing. */
export interface CallPiece {
  id: string
  name: string
  /** JSON text, or a part of it. */
  args: string
  /** The arguments came as an object, so they are complete. */
  hasObject: boolean
  /** Other fields of the call and of its `function`. */
  fields: Record<string, unknown>
  functionFields: Record<string, unknown>
}

/** Reads a piece of a call. */
export function toCallPiece ({ index, id, type, function: fn, ...fields }: Record<string, any>): CallPiece {
  const { name, arguments: args, ...functionFields } = typeof fn === 'object' && fn !== null ? fn : {}
  // Some gateways send the arguments as an object instead of JSON text.
  const hasObject = typeof args === 'object' && args !== null
  return {
    id: typeof id === 'string' ? id : '',
    name: typeof name === 'string' ? name.slice(0, MAX_NAME) : '',
    args: typeof args === 'string' ? args : args === undefined || args === null ? '' : JSON.stringify(args),
    hasObject,
    fields,
    functionFields
  }
}

/** A tool call while its pieces arrive. */
export class ToolCallDraft {
  readonly call: ToolCall = { id: `call_${randomUUID()}`, type: 'function', function: { name: '', arguments: '' } }
  /** The id that the gateway has given first. Some give another with each piece. */
  givenId = ''
  /** A piece has named this tool again, under this id, after the call was whole: arguments that follow are those of another call. */
  successorId: string | undefined
  #extent = new JsonExtent()
  /** The sizes of other fields, by name; created with the first. */
  #sizes: Map<string, number> | undefined
  #lengthOfFields = 0

  /** @param key the call's index, or its position in a frame. */
  constructor (readonly key: number) {}

  /** In UTF-16 units. */
  get length (): number {
    const { id, function: { name, arguments: args } } = this.call
    return id.length + name.length + args.length + this.#lengthOfFields
  }

  /** @throws {ServiceError} `gateway_answer_too_long` */
  add ({ id, name, args, hasObject, fields, functionFields }: CallPiece): void {
    const { call } = this
    if (id && !this.givenId) call.id = this.givenId = checked(id, MAX_ID)
    call.function.name = joinName(call.function.name, name)
    if (args) this.#addArguments(args, hasObject)
    for (const field of Object.keys(fields)) this.#setField(call, field, fields[field], '')
    for (const field of Object.keys(functionFields)) this.#setField(call.function, field, functionFields[field], 'function.')
  }

  /**
   * Whether a piece begins another call, although it has this one's index. Some gateways give all calls the same index, or none;
   * then a name after complete arguments says so. An id does not: it may come late, and change from piece to piece.
   */
  isFollowedBy ({ id, name, args }: CallPiece): boolean {
    const { name: known, arguments: before } = this.call.function
    const opensObject = args.trimStart().startsWith('{')
    if (!name || !known) return this.successorId !== undefined && opensObject
    const isOther = id !== '' && this.givenId !== '' && id !== this.givenId
    if (!this.#extent.isWhole) return !name.startsWith(known) && (before.trim() !== '' || isOther)
    if (id !== '' && id === this.givenId) return name !== known && opensObject
    if (args.trim() === '') return name !== known
    // A beginning after `{}`: that was written before the arguments were known.
    return opensObject && (!isEmptyObject(before) || isWholeObject(args))
  }

  /** Notes a piece that has the name of this call, which is whole, and no arguments: the tail of this call, or the head of another. */
  noteSuccessor ({ id, name, args }: CallPiece): void {
    const isHead = name !== '' && id !== '' && this.givenId !== '' && id !== this.givenId && args.trim() === ''
    if (isHead && this.#extent.isWhole) this.successorId = id
  }

  /** The first piece of the call whose head was noted. */
  toSuccessor (piece: CallPiece): CallPiece {
    return { ...piece, id: piece.id || this.successorId!, name: piece.name || this.call.function.name }
  }

  #addArguments (piece: string, isObject: boolean): void {
    const before = this.call.function.arguments
    const isNext = isObject || (this.#extent.isWhole && piece.trimStart().startsWith('{'))
    // What follows a whole object is the same once more, or what comes in its place if it was `{}`.
    if (isNext && before !== '' && isEmptyObject(piece)) return
    if (isNext && (isObject || isEmptyObject(before) || isWholeObject(piece))) {
      this.call.function.arguments = checked(piece, MAX_ARGUMENTS)
      this.#extent = new JsonExtent().add(piece)
      return
    }
    if (before.length + piece.length > MAX_ARGUMENTS) throw errors.gatewayAnswerTooLong()
    this.call.function.arguments = before + piece
    this.#extent.add(piece)
  }

  /** Other fields go back to the gateway unchanged. A field of several pieces has the value of the last one. */
  #setField (target: object, name: string, value: unknown, prefix: string): void {
    const size = jsonSizeWithin(value, MAX_FIELD)
    if (size === undefined || name.length > MAX_ID) throw errors.gatewayAnswerTooLong()
    this.#sizes ??= new Map()
    this.#lengthOfFields += name.length + size - (this.#sizes.get(prefix + name) ?? 0)
    this.#sizes.set(prefix + name, name.length + size)
    // By assignment, `__proto__` would be the call's prototype.
    Object.defineProperty(target, name, { value, enumerable: true, writable: true, configurable: true })
  }
}

/** Names come in one piece, in fragments, whole with every piece, or longer with every piece. */
function joinName (name: string, piece: string): string {
  return piece.startsWith(name) ? piece : (name + piece).slice(0, MAX_NAME)
}

function checked (text: string, max: number): string {
  if (text.length > max) throw errors.gatewayAnswerTooLong()
  return text
}
