import { errors } from '../errors.ts'
import { firstSeq } from '../event-number.ts'
import { errorEvent } from '../final-event.ts'
import type { NumberedEvent } from '../trace.ts'
import { isTold, type KnownEvents } from './known-events.ts'
import { PlainText, replay } from './plain-text.ts'

/**
 * The events of a run as a reader is told them that does not know all. It depends on the events alone, not on when they
 * are read, so that a reader may resume anywhere. Nothing is kept of a run that is not rewound.
 */
export class EventView {
  /** What the reader has, from the first rewind on that it does not know; until then it is the run's text. */
  #text?: PlainText

  #hasFailed = false

  /** @param hasMarks whether another text may stand after a mark; otherwise the reader is told that its text is no longer the run's. */
  constructor (private readonly known: KnownEvents, private readonly runId = '', private readonly hasMarks = true) {}

  /** Whether the reader was told an error that is not the run's own: it is told no more. */
  get hasFailed (): boolean { return this.#hasFailed }

  /** Whether events of this type are told as they are for now. */
  passes (type: string): boolean {
    return isTold(this.known, type) && (this.#text === undefined || (type !== 'chunk' && type !== 'done'))
  }

  /**
   * What the reader is told instead of an event that does not pass.
   * @param history the events of the run that came before this one.
   */
  translate (entry: NumberedEvent, history: () => Iterable<NumberedEvent>): NumberedEvent[] {
    const { seq, event } = entry
    if (event.type === 'cancelled') return [{ seq, event: errorEvent(event.runId, errors.runCancelled()) }]
    if (event.type === 'rewind') {
      this.#text ??= replay(history())
      this.#text.rewind(event.to)
    }
    if (event.type === 'chunk') return this.#tell(entry, event.content, this.#text!.append(seq, event.content))
    if (event.type !== 'done') return []
    const missing = this.#text!.finish(event.response)
    if (this.#isRefused()) return this.#fail(seq)
    return missing ? [{ seq: seq - 1, event: { type: 'chunk', content: missing } }, entry] : [entry]
  }

  /** Keeps what the reader has, which has been told these events: they will be no part of later histories. */
  keep (history: Iterable<NumberedEvent>): void {
    if (!this.known.has('rewind')) this.#text ??= replay(history)
  }

  /**
   * The reader resumes.
   * @param after the last event that it has been told.
   * @param attempt the one whose events follow.
   * @param history the events of that attempt up to `after`.
   */
  resume (after: number, attempt: number, history: () => readonly NumberedEvent[]): void {
    if (after === 0 || this.known.has('rewind')) return
    const events = history()
    if (attempt === 1) {
      if (events.some(({ event }) => event.type === 'rewind')) this.#text = replay(events)
      return
    }
    // A reader that has been told a chunk of this attempt has the text up to there. Of what it has of an earlier attempt
    // nothing is known here, unless it had been told no more than the beginning.
    const last = events.at(-1)
    const isUpToDate = last?.seq === after && last.event.type === 'chunk'
    if (isUpToDate || after <= firstSeq(1)) return
    this.#text = replay(events)
    this.#text.forget()
  }

  #tell (entry: NumberedEvent, content: string, missing: string): NumberedEvent[] {
    if (this.#isRefused()) return this.#fail(entry.seq)
    if (missing === content) return [entry]
    return missing ? [{ seq: entry.seq, event: { type: 'chunk', content: missing } }] : []
  }

  #isRefused (): boolean {
    return !this.hasMarks && this.#text!.hasMark
  }

  #fail (seq: number): NumberedEvent[] {
    this.#hasFailed = true
    return [{ seq, event: errorEvent(this.runId, errors.answerChanged()) }]
  }
}
