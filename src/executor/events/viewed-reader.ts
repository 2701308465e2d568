import { attemptOf } from '#shared/event-number.ts'
import { EventView } from '#shared/reader/event-view.ts'
import { EVENT_GROUPS, type KnownEvents } from '#shared/reader/known-events.ts'
import type { Entry, EventLog } from './event-log.js'
import type { Reader } from './follow.js'

/** The reader as a follower of a run sees it: one that does not know all events is told the others in words that it knows. */
export function viewFor (reader: Reader, log: EventLog, view: ViewOptions): Reader {
  return EVENT_GROUPS.every(group => view.known.has(group)) ? reader : new ViewedReader(reader, log, view)
}

export interface ViewOptions {
  readonly runId: string
  /** The last event that the reader has. */
  readonly after: number
  readonly known: KnownEvents
  /** Whether another text may be told after a mark; otherwise the reader is told an error and no more. By default it may. */
  readonly hasMarks?: boolean
}

/** Tells a reader the events as it knows them. Most pass unchanged, with the encodings that all readers share. */
class ViewedReader implements Reader {
  readonly #view: EventView
  #hasBegun = false
  /** The reader was told an end that is not the run's. */
  #hasLeft = false

  constructor (private readonly reader: Reader, private readonly log: EventLog, private readonly options: ViewOptions) {
    this.#view = new EventView(options.known, options.runId, options.hasMarks)
  }

  write (entry: Entry): boolean {
    if (this.#hasLeft) return true
    if (!this.#hasBegun) this.#begin(entry.seq)
    if (this.#view.passes(entry.event.type)) return this.reader.write(entry)
    let hasRoom = true
    for (const told of this.#view.translate(entry, () => this.#history(entry.seq - 1))) hasRoom = this.reader.write(told)
    if (this.#view.hasFailed) this.#leave()
    return hasRoom
  }

  replacing (cursor: number): void {
    const told = this.#history(cursor)
    if (told.length === 0) return
    if (!this.#hasBegun) this.#begin(told[0]!.seq)
    this.#view.keep(told)
  }

  end (): void { if (!this.#hasLeft) this.reader.end() }
  moved (after: number): void { if (!this.#hasLeft) this.reader.moved(after) }

  #leave (): void {
    this.#hasLeft = true
    this.reader.end()
  }

  #begin (seq: number): void {
    this.#hasBegun = true
    const { after } = this.options
    this.#view.resume(after, attemptOf(seq), () => this.#history(after))
  }

  /** The events up to a number that the log still has: those of one attempt. */
  #history (last: number): Entry[] {
    return this.log.entries(this.options.runId).filter(({ seq }) => seq <= last)
  }
}
