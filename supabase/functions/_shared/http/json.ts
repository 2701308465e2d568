import { errors } from '../errors.ts'
import { MAX_DEPTH, tooDeep } from '../nesting.ts'

/** What a body or message may consist of, beside its bytes: to parse a tiny value costs as much as to parse hundreds of bytes of text. */
const MAX_VALUES = 100_000
/** What a value counts for, in bytes. */
const VALUE_BYTES = 256

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a]
/** With this bit, `[` and `{` are alike, and so are `]` and `}`. */
const BRACE_BIT = 0x20
const [OPENING, CLOSING] = [0x7b, 0x7d]

/**
 * Looks at JSON in UTF-8 before it is parsed, piece by piece as it arrives: how deep it is nested, and of how many values and
 * names it consists. Texts are skipped at the speed of a search, so that a piece of 64 KiB takes a fraction of a millisecond.
 */
export class JsonScanner {
  #depth = 0
  #values = 0
  #bytes = 0
  #isInText = false
  #isEscaped = false

  /** What the JSON costs to be parsed, in bytes of plain text. */
  get cost (): number { return this.#bytes + this.#values * VALUE_BYTES }

  /** @throws {ServiceError} bad_request, if the JSON is nested too deep or has too many values. */
  scan (piece: Uint8Array): void {
    this.#bytes += piece.length
    for (let at = 0; at < piece.length; at++) {
      if (this.#isInText) at = this.#skipText(piece, at)
      else this.#count(piece[at]!)
    }
  }

  #count (byte: number): void {
    if (byte === QUOTE) this.#isInText = true
    else if (byte === COMMA || byte === COLON) this.#values++
    else if ((byte | BRACE_BIT) === OPENING) {
      this.#values++
      if (++this.#depth > MAX_DEPTH) throw tooDeep()
    } else if ((byte | BRACE_BIT) === CLOSING) this.#depth--
    if (this.#values > MAX_VALUES) throw errors.badRequest(`The JSON has more than ${MAX_VALUES} values.`)
  }

  /** Returns where the text ends: the position of its quote, or of the last byte of the piece. */
  #skipText (piece: Uint8Array, from: number): number {
    let at = from
    for (;;) {
      if (this.#isEscaped) {
        this.#isEscaped = false
        at++
      }
      const quote = piece.indexOf(QUOTE, at)
      const end = quote < 0 ? piece.length : quote
      if (!isEscapedAt(piece, at, end)) {
        this.#isInText = quote < 0
        return quote < 0 ? piece.length - 1 : quote
      }
      if (quote < 0) {
        this.#isEscaped = true
        return piece.length - 1
      }
      at = quote + 1
    }
  }
}

/** Whether an odd number of backslashes stands before a position, none of them before `from`. */
function isEscapedAt (piece: Uint8Array, from: number, position: number): boolean {
  let at = position
  while (at > from && piece[at - 1] === BACKSLASH) at--
  return (position - at) % 2 === 1
}

/**
 * Parses JSON from outside.
 * @param what its name in the error: body, message.
 * @throws {ServiceError} invalid_json, without a stack.
 */
export function parseJson (text: string, what: string): unknown {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return JSON.parse(text)
  } catch {
    throw errors.invalidJson(what)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
