import { setImmediate as nextTurn } from 'node:timers/promises'
import { ToolError } from '../tool.js'

/** Values in the JSON of a response, and lines of an event stream: each takes time to parse, whatever its size. */
const MAX_VALUES = 100_000
const MAX_LINES = 10_000
/** Bytes that are passed on in one turn of the event loop. */
const PIECE = 64 * 1024

/**
 * Passes a response of JSON or of events on, in small pieces with turns of the event loop in between.
 * @throws {ToolError} if it has more values or lines than can be parsed in a short time.
 */
export async function * limitResponse (body: AsyncIterable<Uint8Array>, host: string): AsyncGenerator<Uint8Array, void, void> {
  const counter = new JsonCounter()
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length; at += PIECE) {
      const piece = chunk.subarray(at, at + PIECE)
      counter.count(piece)
      if (counter.values > MAX_VALUES || counter.lines > MAX_LINES) throw new ToolError(`${host} sent an answer of more parts than are read.`)
      yield piece
      if (at + PIECE < chunk.length) await nextTurn()
    }
  }
}

const PLAIN = 0
const LINE_END = 1
const QUOTE = 2
const BACKSLASH = 3
/** Begins or separates values. */
const SEPARATOR = 4
const MEANINGS = new Uint8Array(256)
for (const [characters, meaning] of [['\n\r', LINE_END], ['"', QUOTE], ['\\', BACKSLASH], [',[{', SEPARATOR]] as const) {
  for (const character of characters) MEANINGS[character.charCodeAt(0)] = meaning
}

/** Counts values outside of strings. No string of JSON has a line end in it, so each line begins outside. */
class JsonCounter {
  values = 0
  lines = 0
  #inString = false
  #isEscaped = false

  /** A table of bytes, since it runs for every byte of an answer. */
  count (bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at++) {
      const meaning = MEANINGS[bytes[at]!]!
      if (meaning === PLAIN && !this.#isEscaped) continue
      if (meaning === LINE_END) {
        this.lines++
        this.#inString = this.#isEscaped = false
      } else if (this.#isEscaped) this.#isEscaped = false
      else if (meaning === QUOTE) this.#inString = !this.#inString
      else if (this.#inString) this.#isEscaped = meaning === BACKSLASH
      else if (meaning === SEPARATOR) this.values++
    }
  }
}
