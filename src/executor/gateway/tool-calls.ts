import { randomUUID } from 'node:crypto'
import { errors } from '#shared/errors.ts'
import type { ToolCall } from '#shared/messages.ts'
import { type CallPiece, toCallPiece, ToolCallDraft } from './tool-call-draft.js'

/** The limit for the calls of one turn, to stop a model that repeats itself. */
export const MAX_CALLS = 128
/** UTF-16 units of all calls of a turn. */
const MAX_TURN = 1024 * 1024

/**
 * Assembles the tool calls of a turn from their streamed pieces. The protocol gives each call an index and an id, and its name
 * once; many gateways do not.
 */
export class ToolCallCollector {
  #calls: ToolCall[] = []
  /** Created with the first call, because most turns have none. */
  #drafts: ToolCallDraft[] | undefined
  /** The last call of each `index`, or of each position in a frame; null if it is one too many. */
  #byIndex: Map<number, ToolCallDraft | null> | undefined
  #length = 0
  #hasMore = false

  /** The calls so far, in order. The array is always the same. */
  get calls (): ToolCall[] { return this.#calls }

  /** Whether the turn had more calls than are collected. */
  get hasMore (): boolean { return this.#hasMore }

  /** The length of all calls so far, in UTF-16 units. */
  get length (): number { return this.#length }

  /**
   * @param pieces `delta.tool_calls` of a frame, or `message.tool_calls` of a whole completion; ignored unless an array. Calls
   * beyond the 128th are ignored too.
   * @throws {ServiceError} `gateway_answer_too_long`, if a call or the turn is too long.
   */
  add (pieces: unknown): void {
    if (!Array.isArray(pieces)) return
    pieces.forEach((piece, position) => {
      if (piece !== null && typeof piece === 'object') this.#addPiece(piece.index, position, toCallPiece(piece))
    })
    if (this.#length > MAX_TURN) throw errors.gatewayAnswerTooLong()
  }

  #addPiece (index: unknown, position: number, piece: CallPiece): void {
    const key = Number.isInteger(index) ? index as number : position
    const known = this.#find(key, piece.id)
    if (known && !known.isFollowedBy(piece)) return this.#addTo(known, piece)
    if (known === undefined && isBlank(piece)) return
    if (known !== null && this.#calls.length < MAX_CALLS) return this.#addTo(this.#begin(key), known?.successorId === undefined ? piece : known.toSuccessor(piece))
    this.#hasMore = true
    this.#length += piece.name.length + piece.args.length
    // So that pieces without a name are not taken for those of the call before.
    if (known) this.#byIndex!.set(key, null)
  }

  #begin (key: number): ToolCallDraft {
    const draft = new ToolCallDraft(key)
    this.#length += draft.length
    this.#calls.push(draft.call)
    this.#drafts ??= []
    this.#drafts.push(draft)
    this.#byIndex ??= new Map()
    this.#byIndex.set(key, draft)
    return draft
  }

  /** The call of an index that has this id, or the last one. */
  #find (key: number, id: string): ToolCallDraft | null | undefined {
    const last = this.#byIndex?.get(key)
    if (!last || id === '' || last.givenId === id) return last
    return this.#drafts!.find(draft => draft.key === key && draft.givenId === id) ?? last
  }

  #addTo (draft: ToolCallDraft, piece: CallPiece): void {
    const before = draft.length
    draft.noteSuccessor(piece)
    draft.add(piece)
    this.#length += draft.length - before
  }
}

/** Some gateways put an empty call into every delta. */
function isBlank ({ id, name, args, fields, functionFields }: CallPiece): boolean {
  return id === '' && name === '' && args === '' && Object.keys(fields).length + Object.keys(functionFields).length === 0
}

/**
 * Returns a turn's calls in a form that gateways accept in a conversation: invalid characters of names are replaced, and
 * arguments that are not a JSON object become `{}`. The originals are not modified.
 */
export function toSendable (calls: readonly ToolCall[]): ToolCall[] {
  return calls.map(call => ({
    ...call,
    function: { ...call.function, name: call.function.name.replace(/[^\w-]/g, '_').slice(0, 64) || 'tool', arguments: toObject(call.function.arguments) }
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
