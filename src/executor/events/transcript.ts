import type { RunEvent } from '#shared/schemas.ts'
import { findRewound } from '#shared/trace.ts'
import { GrowingText } from '../../lib/growing-text.js'
import type { Entry } from './event-log.js'

/** A text event: its end offset in the transcript's text and its type, encoded in one number that needs no object. */
type Mark = number

/** The memory of a non-text event without its strings, in bytes. */
const EVENT_OVERHEAD = 200
const MARK_BYTES = 8

/**
 * The events of one attempt, in order. Nearly all are text events, which are stored as offsets into one text: as objects,
 * they would take most of the process's memory and of its garbage collector's time.
 */
export class Transcript {
  #items: Array<Mark | RunEvent> = []
  #text = new GrowingText()
  #weight = 0
  /** The last entry, with the encodings that its readers share. */
  #last: Entry | undefined

  /** @param first the number of the attempt's first event. */
  constructor (readonly first: number) {}

  get length (): number { return this.#items.length }
  get last (): Entry | undefined { return this.#last }
  /** An estimate of the memory that the transcript takes, in bytes. */
  get weight (): number { return this.#weight }

  push (event: RunEvent): Entry {
    if (isText(event)) {
      this.#weight += this.#text.append(event.content) + MARK_BYTES
      this.#items.push(toMark(this.#text.length, event.type))
    } else {
      this.#items.push(event)
      this.#weight += EVENT_OVERHEAD + weightOf(event)
    }
    return (this.#last = { seq: this.first + this.#items.length - 1, event })
  }

  /** The entry at an index, from 0. */
  at (index: number): Entry | undefined {
    const seq = this.first + index
    if (seq === this.#last?.seq) return this.#last
    const item = this.#items[index]
    if (item === undefined) return undefined
    if (typeof item !== 'number') return { seq, event: item }
    return { seq, event: { type: isReasoning(item) ? 'reasoning' : 'chunk', content: this.#text.slice(this.#startOf(index), endOf(item)) } }
  }

  /** The entries from an index on. */
  from (index: number): Entry[] {
    return this.#items.slice(index).map((_, offset) => this.at(index + offset)!)
  }

  /** The response text from an index on, without reasoning and without rewound text. */
  textFrom (index: number): string {
    const rewound = findRewound(this.#events())
    let text = ''
    let start = this.#startOf(index)
    let end = start
    for (let at = index; at < this.#items.length; at++) {
      const item = this.#items[at]!
      if (typeof item !== 'number') continue
      if (isReasoning(item) || rewound(this.first + at)) {
        text += this.#text.slice(start, end)
        start = endOf(item)
      }
      end = endOf(item)
    }
    return text + this.#text.slice(start, end)
  }

  /** Discards the cached encodings of the last event; a later reader encodes it again. */
  dropFrames (): void {
    if (this.#last) this.#last.frame = undefined
  }

  /** The non-text events. */
  #events (): Array<Pick<Entry, 'seq' | 'event'>> {
    const events = []
    for (const [at, event] of this.#items.entries()) if (typeof event !== 'number') events.push({ seq: this.first + at, event })
    return events
  }

  /** The start offset of the text at an index, which is the end of the text before it. */
  #startOf (index: number): number {
    for (let before = index - 1; before >= 0; before--) {
      const item = this.#items[before]!
      if (typeof item === 'number') return endOf(item)
    }
    return 0
  }
}

type TextEvent = Extract<RunEvent, { type: 'chunk' | 'reasoning' }>

function isText (event: RunEvent): event is TextEvent {
  return event.type === 'chunk' || event.type === 'reasoning'
}

function toMark (end: number, type: TextEvent['type']): Mark {
  return end * 2 + (type === 'reasoning' ? 1 : 0)
}

function endOf (mark: Mark): number {
  return Math.floor(mark / 2)
}

function isReasoning (mark: Mark): boolean {
  return mark % 2 === 1
}

/** The memory of an event's strings, in bytes: two per character. */
function weightOf (event: RunEvent): number {
  if (event.type === 'done') return event.response.length * 2
  if (event.type === 'tool_result') return (event.result ?? event.error ?? '').length * 2
  if (event.type === 'tool_call') return JSON.stringify(event.arguments ?? '').length * 2
  if (event.type === 'progress') return (event.message?.length ?? 0) * 2
  return 0
}
