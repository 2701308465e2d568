import { attemptOf } from '#shared/event-number.ts'
import { EventView } from '#shared/reader/event-view.ts'
import { EVENT_GROUPS, type KnownEvents } from '#shared/reader/known-events.ts'
import type { Entry, EventLog } from './event-log.js'
import type { Reader } from './follow.js'

/** The reader as a follower of a run sees it: one that does not know all events is told the others in words that it knows. */
export function viewFor (reader: Reader, log: EventLog, runId: string, after: number, known: KnownEvents): Reader {
  return EVENT_GROUPS.every(group => known.has(group)) ? reader : new ViewedReader(reader, log, runId, after, known)
}

/** Tells a reader the events as it knows them. Most pass unchanged, with the encodings that all readers share. */
class ViewedReader implements Reader {
  readonly #view: EventView
  #hasBegun = false

  constructor (
    private readonly reader: Reader,
    private readonly log: EventLog,
    private readonly runId: string,
    private readonly after: number,
    known: KnownEvents
  ) {
    this.#view = new EventView(known)
  }

  write (entry: Entry): boolean {
    if (!this.#hasBegun) this.#begin(entry.seq)
    if (this.#view.passes(entry.event.type)) return this.reader.write(entry)
    let hasRoom = true
    for (const told of this.#view.translate(entry, () => this.#history(entry.seq - 1))) hasRoom = this.reader.write(told)
    return hasRoom
  }

  replacing (cursor: number): void {
    const told = this.#history(cursor)
    if (told.length === 0) return
    if (!this.#hasBegun) this.#begin(told[0]!.seq)
    this.#view.keep(told)
  }

  end (): void { this.reader.end() }
  moved (after: number): void { this.reader.moved(after) }

  #begin (seq: number): void {
    this.#hasBegun = true
    this.#view.resume(this.after, attemptOf(seq), () => this.#history(this.after))
  }

  /** The events up to a number that the log still has: those of one attempt. */
  #history (last: number): Entry[] {
    return this.log.entries(this.runId).filter(({ seq }) => seq <= last)
  }
}
