import { jsonSizeWithin } from '#shared/bounds/json-size.ts'
import { RETURNED_FIELD } from '#shared/messages.ts'
import { GrowingText } from '../../lib/growing-text.js'

/** Their text comes by `appendReasoning`. */
const REASONING = new Set(['reasoning_content', 'reasoning'])
/** The members of an entry that grow from piece to piece. */
const GROWING = ['text', 'summary', 'thinking']

/** UTF-16 units of a value in one piece, and of all fields of a turn. */
const MAX_VALUE = 64 * 1024
const MAX_TURN = 1024 * 1024
/** A gateway gives a block of reasoning, or a few, and not one for each token. */
const MAX_ENTRIES = 1_000

type Entry = Record<string, unknown>

/**
 * Collects the fields of a turn's message, beside its text and calls, that have to go back to the gateway if tools are called.
 * Of several pieces, texts are appended, lists joined, and of all else the last one counts. Entries of a list that have the
 * same type and `index` are one entry.
 */
export class ExtraFields {
  readonly #fields = new Map<string, unknown>()
  /** Of fields whose last value counts. */
  readonly #sizes = new Map<string, number>()
  readonly #reasoning = new GrowingText()
  #reasoningName = ''
  #length = 0
  #isTooLong = false

  /** Whether there was more than may be kept, so that what is kept is incomplete. */
  get isTooLong (): boolean { return this.#isTooLong }

  /** Adds the fields of a delta, or of a whole message. */
  add (message: object): void {
    for (const [name, value] of Object.entries(message)) {
      if (value !== null && value !== undefined && RETURNED_FIELD.test(name) && !REASONING.has(name)) this.#add(name, value)
    }
  }

  /**
   * Adds a piece of reasoning.
   * @param name under which the gateway gives it; empty if under none, so that it is not kept.
   * @param text must be well-formed.
   */
  appendReasoning (name: string, text: string): void {
    if (name === '' || !this.#fits(text.length)) return
    this.#reasoningName = name
    this.#reasoning.append(text)
  }

  /** The fields so far; undefined if there are none. */
  toObject (): Record<string, unknown> | undefined {
    const fields = [...this.#fields]
    if (this.#reasoning.length > 0) fields.push([this.#reasoningName, this.#reasoning.toString()])
    return fields.length > 0 ? Object.fromEntries(fields) : undefined
  }

  #fits (size: number | undefined): boolean {
    if (size === undefined || this.#length + size > MAX_TURN) this.#isTooLong = true
    else this.#length += size
    return !this.#isTooLong
  }

  #add (name: string, value: unknown): void {
    const before = this.#fields.get(name)
    const size = jsonSizeWithin(value, MAX_VALUE)
    const isReplaced = typeof value !== 'string' && !Array.isArray(value)
    if (!this.#fits(size === undefined || !isReplaced ? size : size - (this.#sizes.get(name) ?? 0))) return
    if (isReplaced) this.#sizes.set(name, size!)
    if (typeof value === 'string') this.#fields.set(name, typeof before === 'string' ? before + value : value)
    else this.#fields.set(name, Array.isArray(value) ? this.#join(Array.isArray(before) ? before : [], value) : value)
  }

  #join (list: unknown[], more: unknown[]): unknown[] {
    for (const item of more) {
      const entry = isEntry(item) ? findEntry(list, item) : undefined
      if (entry) mergeInto(entry, item as Entry)
      else if (list.length < MAX_ENTRIES) list.push(isEntry(item) ? { ...item } : item)
      else this.#isTooLong = true
    }
    return list
  }
}

/** The entry that a piece continues: that of its index; without one the last, if both have text and no signature has closed it. */
function findEntry (list: unknown[], piece: Entry): Entry | undefined {
  const isSame = (entry: unknown): entry is Entry =>
    isEntry(entry) && entry.type === piece.type && entry.index === piece.index && !(entry.id && piece.id && entry.id !== piece.id)
  if (Number.isInteger(piece.index)) return list.findLast(isSame)
  const last = list.at(-1)
  return isSame(last) && !last.signature && GROWING.some(name => typeof last[name] === 'string' && typeof piece[name] === 'string') ? last : undefined
}

function mergeInto (entry: Entry, piece: Entry): void {
  for (const [name, value] of Object.entries(piece)) {
    // By assignment, `__proto__` would be the entry's prototype.
    if (value === null || value === '' || name === '__proto__') continue
    const before = entry[name]
    entry[name] = GROWING.includes(name) && typeof before === 'string' && typeof value === 'string' ? before + value : value
  }
}

function isEntry (value: unknown): value is Entry {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
