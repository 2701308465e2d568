/** Stands for a text that no frame holds, to find out what a template makes of one. */
const SENTINEL = 'jeesi sentinel 5b1f'
/** What a JSON string holds as it is: no quote, no escape, no control character. */
// eslint-disable-next-line no-control-regex
const PLAIN = /^[^"\\\u0000-\u001f]*$/
/** A gateway whose frames differ in more than their text is taken at its word after so many. */
const MAX_TRIES = 8

/**
 * The text of a stream's frames, cut out of them where they are all alike but for it, which is much cheaper than to parse
 * each. What is not exactly alike is not read here, and is parsed.
 */
export class DeltaTemplate {
  #head = ''
  #tail = ''
  #tries = 0

  /**
   * Learns from a frame that was parsed, and that said nothing but text.
   * @param data the frame's JSON.
   * @param text what stands at `choices[0].delta.content`.
   */
  learn (data: string, text: string): void {
    if (text === '' || this.#tries >= MAX_TRIES) return
    this.#tries++
    const literal = JSON.stringify(text)
    const at = data.indexOf(literal)
    if (at === -1) return
    const head = data.slice(0, at + 1)
    const tail = data.slice(at + literal.length - 1)
    if (!isText(head, tail)) return
    this.#head = head
    this.#tail = tail
  }

  /** The text of a frame that is like the one learned from; undefined: it has to be parsed. */
  read (data: string): string | undefined {
    const { length } = this.#head
    if (length === 0 || data.length < length + this.#tail.length || !data.startsWith(this.#head) || !data.endsWith(this.#tail)) return undefined
    const text = data.slice(length, data.length - this.#tail.length)
    return PLAIN.test(text) ? text : undefined
  }
}

/** Whether what stands between the two is the text, and not something that happens to be spelled like it. */
function isText (head: string, tail: string): boolean {
  try {
    return JSON.parse(head + SENTINEL + tail).choices[0].delta.content === SENTINEL
  } catch {
    return false
  }
}
