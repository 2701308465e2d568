/** Where an answer's text stands in a frame: `choices[0].delta` has it by one of these names. */
export type DeltaField = 'content' | 'reasoning_content' | 'reasoning'

export interface TextReader { onText (text: string): void }

/** Stands for a text that no frame holds, to find out what a template makes of one. */
const SENTINEL = 'jeesi sentinel 5b1f'
const SPACE = 32
const QUOTE = 34
const BACKSLASH = 92
const TILDE = 126
/** A gateway whose frames differ in more than their text is taken at its word after so many in a row. */
const MAX_TRIES = 8

/**
 * The texts of a stream's frames, cut out of its bytes where the frames are all alike but for them, which is much cheaper
 * than to find and to parse each. What is not exactly alike is not read here, and is parsed.
 */
export class DeltaTemplate {
  /** Which text it is that the frames hold. */
  field: DeltaField = 'content'
  /** What stands before and after the text, as Latin-1: a character a byte, wherever characters begin. */
  #head = ''
  #tail = ''
  #tries = 0

  /**
   * Learns from a frame that was parsed, and that said nothing but text.
   * @param data the frame's JSON, which stood in one line, `data: …`, with an empty line after it.
   * @param text what stands at `field`.
   */
  learn (data: string, field: DeltaField, text: string): void {
    if (text === '' || this.#tries >= MAX_TRIES) return
    this.#tries++
    const literal = JSON.stringify(text)
    const at = data.indexOf(literal)
    if (at === -1) return
    const head = data.slice(0, at + 1)
    const tail = data.slice(at + literal.length - 1)
    if (!isText(head, field, tail)) return
    this.field = field
    this.#head = toLatin1(`data: ${head}`)
    this.#tail = toLatin1(`${tail}\n\n`)
  }

  /**
   * Reads frames for as long as they are like the one learned from.
   * @param raw bytes of a stream as Latin-1; a frame begins at `from`, and `to` is where they end.
   * @param reader is given the text of each.
   * @returns where the first frame begins that has to be parsed.
   */
  cut (raw: string, from: number, to: number, reader: TextReader): number {
    if (this.#head === '') return from
    let at = from
    while (holds(raw, this.#head, at)) {
      const begin = at + this.#head.length
      const plainEnd = endOfPlain(raw, begin, to)
      const isPlain = holds(raw, this.#tail, plainEnd)
      const end = isPlain ? plainEnd : raw.indexOf(this.#tail, begin)
      const next = end + this.#tail.length
      if (end === -1 || next > to) break
      const text = isPlain ? raw.slice(begin, end) : unescape(raw.slice(begin, end))
      if (text === undefined) break
      at = next
      this.#tries = 0
      reader.onText(text)
    }
    return at
  }
}

/** Whether what stands between the two is the text, and not something that happens to be spelled like it. */
function isText (head: string, field: DeltaField, tail: string): boolean {
  try {
    return JSON.parse(head + SENTINEL + tail).choices[0].delta[field] === SENTINEL
  } catch {
    return false
  }
}

/** Where what a JSON string of ASCII holds as it is comes to an end: at its quote, at an escape, or at a character that is more than a byte. */
function endOfPlain (raw: string, from: number, to: number): number {
  let at = from
  for (let code = raw.charCodeAt(at); at < to && code >= SPACE && code <= TILDE && code !== QUOTE && code !== BACKSLASH; code = raw.charCodeAt(at)) at++
  return at
}

/** As `startsWith`, which V8 compiles to a loop over characters: a tenth of the time of that. */
function holds (raw: string, part: string, at: number): boolean {
  return raw.slice(at, at + part.length) === part
}

/** The text that a JSON string holds between its quotes; undefined: it does not end where it seems to. */
function unescape (latin1: string): string | undefined {
  try {
    return JSON.parse(`"${Buffer.from(latin1, 'latin1')}"`)
  } catch {
    return undefined
  }
}

function toLatin1 (text: string): string {
  return Buffer.from(text).toString('latin1')
}
