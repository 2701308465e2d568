import type { NumberedEvent } from './client-types.js'

/** The text of a run, made of its events: what a `rewind` takes back is gone from it. */
export class RunText {
  #text = ''
  /** Where the text of each event begins. */
  #begins: Array<{ seq: number, at: number }> = []

  get value (): string { return this.#text }

  add (event: NumberedEvent): this {
    if (event.type === 'chunk') {
      this.#begins.push({ seq: event.seq, at: this.#text.length })
      this.#text += event.content
    } else if (event.type === 'rewind') {
      while (this.#begins.length > 0 && this.#begins.at(-1)!.seq > event.to) this.#text = this.#text.slice(0, this.#begins.pop()!.at)
    } else if (event.type === 'done') this.#text = event.response
    return this
  }
}
