import type { NumberedEvent } from '../trace.ts'

/** Stands between a text that was taken back and the one that takes its place: after the last mark stands the whole answer. */
export const MARK = '\n\n↻\n\n'

/**
 * The text of a reader that appends what it is told, beside the run's text, which a rewind may shorten. The run's text is
 * always a beginning of what the reader has after its last mark.
 */
export class PlainText {
  /** What the reader has after its last mark. */
  #shown = ''
  /** How much of it is the run's text so far, in UTF-16 code units. */
  #length = 0
  /** The chunks of the run's text, each with where it ends. */
  #chunks: Array<{ seq: number, end: number }> = []
  /** Whether it is known what the reader has beyond the run's text. */
  #isKnown = true

  #hasMark = false

  /** Whether a mark was returned. */
  get hasMark (): boolean { return this.#hasMark }

  /** Takes a chunk of the run's text. Returns what the reader has to append. */
  append (seq: number, content: string): string {
    const from = this.#length
    this.#length += content.length
    this.#chunks.push({ seq, end: this.#length })
    // The common case comes first: a text that only grows is never copied.
    if (this.#isKnown && this.#shown.length === from) {
      this.#shown += content
      return content
    }
    if (this.#isKnown && this.#shown.startsWith(content, from)) return ''
    const ahead = this.#shown.slice(from)
    this.#shown = this.#shown.slice(0, from) + content
    if (this.#isKnown && content.startsWith(ahead)) return content.slice(ahead.length)
    this.#isKnown = true
    return this.#marked(this.#shown)
  }

  /** Takes back the run's text after event `to`. The reader keeps it. */
  rewind (to: number): void {
    while (this.#chunks.length > 0 && this.#chunks.at(-1)!.seq > to) this.#chunks.pop()
    this.#length = this.#chunks.at(-1)?.end ?? 0
  }

  /** The run has succeeded with this response. Returns what the reader has to append. */
  finish (response: string): string {
    const isRight = this.#isKnown && response.startsWith(this.#shown)
    return isRight ? response.slice(this.#shown.length) : this.#marked(response)
  }

  #marked (text: string): string {
    this.#hasMark = true
    return MARK + text
  }

  /** The reader may have other text than the run's, such as that of an earlier attempt: what comes next stands after a mark. */
  forget (): void {
    this.#shown = this.#shown.slice(0, this.#length)
    this.#isKnown = false
  }
}

/** What a reader has that was told these events from the beginning. */
export function replay (events: Iterable<NumberedEvent>): PlainText {
  const text = new PlainText()
  for (const { seq, event } of events) {
    if (event.type === 'chunk') text.append(seq, event.content)
    if (event.type === 'rewind') text.rewind(event.to)
  }
  return text
}
