import type { RunEvent } from '#shared/schemas.ts'
import { findRewound } from '#shared/trace.ts'
import { GrowingText } from '../../lib/growing-text.js'
import type { Entry } from './event-log.js'

/** Where a text ends in all that was said, and which kind of text it is, as one small number. */
type Mark = number

/** What an event that is no text weighs beside what it holds. */
const EVENT_OVERHEAD = 200
const MARK_BYTES = 8

/**
 * What one attempt has told, in order. Nearly all of it is pieces of text, of which only the places are kept: events that
 * were objects would be most of a process' memory, and most of what its garbage collector has to look at.
 */
export class Transcript {
  #told: Array<Mark | RunEvent> = []
  #text = new GrowingText()
  #weight = 0
  /** The last entry, with the frames that its readers share. */
  #last: Entry | undefined

  /** @param first the number of its first event. */
  constructor (readonly first: number) {}

  get length (): number { return this.#told.length }
  get last (): Entry | undefined { return this.#last }
  /** Bytes of memory, roughly. */
  get weight (): number { return this.#weight }

  push (event: RunEvent): Entry {
    if (isText(event)) {
      this.#weight += this.#text.append(event.content) + MARK_BYTES
      this.#told.push(toMark(this.#text.length, event.type))
    } else {
      this.#told.push(event)
      this.#weight += EVENT_OVERHEAD + weightOf(event)
    }
    return (this.#last = { seq: this.first + this.#told.length - 1, event })
  }

  /** The entry at a place, from 0 on. */
  at (index: number): Entry | undefined {
    const seq = this.first + index
    if (seq === this.#last?.seq) return this.#last
    const told = this.#told[index]
    if (told === undefined) return undefined
    if (typeof told !== 'number') return { seq, event: told }
    return { seq, event: { type: isReasoning(told) ? 'reasoning' : 'chunk', content: this.#text.slice(this.#startOf(index), endOf(told)) } }
  }

  /** The entries from a place on. */
  from (index: number): Entry[] {
    return this.#told.slice(index).map((_, offset) => this.at(index + offset)!)
  }

  /** What was said from a place on, without thoughts, and without what was taken back. */
  textFrom (index: number): string {
    const rewound = findRewound(this.#events())
    let said = ''
    let start = this.#startOf(index)
    let end = start
    for (let at = index; at < this.#told.length; at++) {
      const told = this.#told[at]!
      if (typeof told !== 'number') continue
      if (isReasoning(told) || rewound(this.first + at)) {
        said += this.#text.slice(start, end)
        start = endOf(told)
      }
      end = endOf(told)
    }
    return said + this.#text.slice(start, end)
  }

  /** Nobody needs the last event in any format any more; who does all the same makes it anew. */
  dropFrames (): void {
    if (this.#last) this.#last.frame = undefined
  }

  /** All that is no text. */
  #events (): Array<Pick<Entry, 'seq' | 'event'>> {
    const events = []
    for (const [at, event] of this.#told.entries()) if (typeof event !== 'number') events.push({ seq: this.first + at, event })
    return events
  }

  /** Where the text at a place begins: where the one before it ended. */
  #startOf (index: number): number {
    for (let before = index - 1; before >= 0; before--) {
      const told = this.#told[before]!
      if (typeof told === 'number') return endOf(told)
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

/** Two bytes a character. */
function weightOf (event: RunEvent): number {
  if (event.type === 'done') return event.response.length * 2
  if (event.type === 'tool_result') return (event.result ?? event.error ?? '').length * 2
  if (event.type === 'tool_call') return JSON.stringify(event.arguments ?? '').length * 2
  if (event.type === 'progress') return (event.message?.length ?? 0) * 2
  return 0
}
