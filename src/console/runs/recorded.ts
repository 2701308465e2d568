import type { NumberedEvent } from '../../client/client.js'

/** A line of a run's history: one event, or several of one kind that came together. */
export interface Line { seq: number, last: number, type: NumberedEvent['type'], count: number, characters: number, event: NumberedEvent, at: number }

/** Lines that are kept, the oldest of which give way. */
const MAX_LINES = 1000

/** The history of a run. Deltas of a text are one line, however many they were. */
export class History {
  lines: Line[] = []
  dropped = 0

  /** @param at when it came, in milliseconds. */
  add (event: NumberedEvent, at = Date.now()): void {
    const last = this.lines.at(-1)
    const characters = 'content' in event ? event.content.length : 0
    if (last && last.type === event.type && (event.type === 'chunk' || event.type === 'reasoning' || event.type === 'progress')) {
      Object.assign(last, { last: event.seq, count: last.count + 1, characters: last.characters + characters, event, at })
      return
    }
    this.lines.push({ seq: event.seq, last: event.seq, type: event.type, count: 1, characters, event, at })
    if (this.lines.length > MAX_LINES) {
      this.lines.shift()
      this.dropped++
    }
  }
}
