/** Where an answer's text stands in a frame: `choices[0].delta` has it by one of these names. */
export type DeltaField = 'content' | 'reasoning_content' | 'reasoning'

/** Stands for a text that no frame holds, to find out what a template makes of one. */
const SENTINEL = 'jeesi sentinel 5b1f'
/** What a JSON string of ASCII holds as it is: no quote, no escape, no control character. */
const PLAIN = /^[ !#-[\]-~]*$/
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
   * @param take is given the text of each.
   * @returns where the first frame begins that has to be parsed.
   */
  cut (raw: string, from: number, to: number, take: (text: string) => void): number {
    if (this.#head === '') return from
    let at = from
    while (raw.startsWith(this.#head, at)) {
      const begin = at + this.#head.length
      const end = raw.indexOf(this.#tail, begin)
      const next = end + this.#tail.length
      const text = end === -1 || next > to ? undefined : unescape(raw.slice(begin, end))
      if (text === undefined) break
      at = next
      this.#tries = 0
      take(text)
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

/** The text that a JSON string holds between its quotes; undefined: it does not end where it seems to. */
function unescape (latin1: string): string | undefined {
  if (PLAIN.test(latin1)) return latin1
  try {
    return JSON.parse(`"${Buffer.from(latin1, 'latin1')}"`)
  } catch {
    return undefined
  }
}

function toLatin1 (text: string): string {
  return Buffer.from(text).toString('latin1')
}
