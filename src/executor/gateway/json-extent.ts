const [SPACE, QUOTE, BACKSLASH] = [32, 34, 92]
const OPENING = new Set([91, 123])
const CLOSING = new Set([93, 125])
const BRACE = 123

/** Follows a text that is to be one JSON object and arrives in pieces. It looks at each character once, and checks no syntax but brackets. */
export class JsonExtent {
  #depth = 0
  #isInText = false
  #isEscaped = false
  #state: 'before' | 'within' | 'whole' | 'other' = 'before'

  /** Whether the object is at its end, and nothing but white space follows. */
  get isWhole (): boolean { return this.#state === 'whole' }

  add (piece: string): this {
    for (let at = 0; at < piece.length && this.#state !== 'other'; at++) {
      const code = piece.charCodeAt(at)
      if (this.#isInText) this.#readInText(code)
      else if (code > SPACE) this.#read(code)
    }
    return this
  }

  #readInText (code: number): void {
    this.#isInText = this.#isEscaped || code !== QUOTE
    this.#isEscaped = !this.#isEscaped && code === BACKSLASH
  }

  #read (code: number): void {
    if (this.#state === 'before') this.#state = code === BRACE ? 'within' : 'other'
    else if (this.#state === 'whole') this.#state = 'other'
    if (code === QUOTE) this.#isInText = true
    else if (OPENING.has(code)) this.#depth++
    else if (CLOSING.has(code) && --this.#depth === 0) this.#state = 'whole'
  }
}

/** Whether a text is one JSON object, as far as its brackets say. */
export function isWholeObject (text: string): boolean {
  return new JsonExtent().add(text).isWhole
}

/** Whether a text is a JSON object without members. */
export function isEmptyObject (text: string): boolean {
  return text.length < 100 && /^\s*\{\s*\}\s*$/.test(text)
}
