const PLAIN = 0
const LINE_END = 1
const QUOTE = 2
const BACKSLASH = 3
/** Begins or separates values. */
const SEPARATOR = 4
const COLON = 5
/** A byte of a character beyond ASCII. */
const HIGH = 6
const MEANINGS = new Uint8Array(256).fill(HIGH, 128)
for (const [characters, meaning] of [['\n\r', LINE_END], ['"', QUOTE], ['\\', BACKSLASH], [',[{', SEPARATOR], [':', COLON]] as const) {
  for (const character of characters) MEANINGS[character.charCodeAt(0)] = meaning
}

/**
 * Nanoseconds to decode and parse, measured with Node 20. Most of it are names: an object with names in another order is of
 * another kind for the engine, and a name that it has not met is stored for ever.
 */
const BYTE = 1
const HIGH_BYTE = 3
const ESCAPE = 2
const VALUE = 50
const NAME = 400
const NEW_NAME = 1_100

/** By chance, so that nobody can choose names whose hashes are the same. */
const MULTIPLIER = crypto.getRandomValues(new Int32Array(1))[0]! | 1

/** Estimates what it takes to parse the JSON that passes by. No string of JSON has a line end in it, so each line begins outside. */
export class JsonWork {
  values = 0
  lines = 0
  #most = 0
  #work = 0
  readonly #names = new Set<number>()
  #hash = 0
  #inString = false
  #isEscaped = false
  #isLineEmpty = true

  /** @param isEvents whether a blank line ends one JSON, as in an event stream. */
  constructor (private readonly isEvents: boolean) {}

  /** Nanoseconds for the most expensive JSON of all that has passed. */
  get most (): number { return Math.max(this.#most, this.#work) }

  /** A table of bytes, since it runs for every byte of an answer. */
  count (bytes: Uint8Array): void {
    this.#work += bytes.length * BYTE
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!
      const meaning = MEANINGS[byte]!
      if (meaning === PLAIN && this.#inString && !this.#isEscaped) {
        this.#hash = (Math.imul(this.#hash, MULTIPLIER) + byte) | 0
        continue
      }
      if (meaning === HIGH) this.#work += HIGH_BYTE
      if (meaning === LINE_END) this.#endLine(byte)
      else {
        this.#isLineEmpty = false
        if (this.#inString) this.#countInString(byte, meaning)
        else if (meaning !== PLAIN) this.#countOutside(meaning)
      }
    }
  }

  #countInString (byte: number, meaning: number): void {
    this.#hash = (Math.imul(this.#hash, MULTIPLIER) + byte) | 0
    if (this.#isEscaped) this.#isEscaped = false
    else if (meaning === QUOTE) this.#inString = false
    else if (meaning === BACKSLASH) {
      this.#isEscaped = true
      this.#work += ESCAPE
    }
  }

  #countOutside (meaning: number): void {
    if (meaning === QUOTE) {
      this.#inString = true
      this.#hash = 0
    } else if (meaning === SEPARATOR) {
      this.values++
      this.#work += VALUE
    } else if (meaning === COLON) {
      this.#work += this.#names.has(this.#hash) ? NAME : NAME + NEW_NAME
      this.#names.add(this.#hash)
    }
  }

  #endLine (byte: number): void {
    this.lines++
    this.#inString = this.#isEscaped = false
    if (byte !== 10) return
    if (this.isEvents && this.#isLineEmpty) {
      this.#most = this.most
      this.#work = 0
      this.#names.clear()
    }
    this.#isLineEmpty = true
  }
}
