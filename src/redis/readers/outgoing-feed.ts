import type { EventLog } from '../../executor/events/event-log.js'
import { packRun, toFrames, type ToldRun, WINDOW } from './messages.js'

/** The size of a message, in characters, if no single event is larger: what both sides do at once, some milliseconds. */
const MAX_MESSAGE = 64 * 1024
/** How much of one run a message has, so that runs with long backlogs do not keep others waiting. */
const MAX_RUN = 16 * 1024
/** How many frames of a message that has several are sent at once. */
const MAX_FRAMES = 4

/** The events of this process's runs that another process wants: how far it has been told, and what it is to be told. */
export class OutgoingFeed {
  /** When the other process is forgotten unless it says something, by `performance.now()`. */
  until = 0
  revision = 0
  /** How many characters the reader has received. */
  received = 0
  /** Per run, the number of the last event that was sent. */
  readonly #cursors = new Map<string, number>()
  readonly #unsent = new Set<string>()
  readonly #gone = new Set<string>()
  #frames: string[] = []
  #number = 0
  #sent = 0

  constructor (private readonly log: Pick<EventLog, 'next' | 'last'>, private readonly owner: string, readonly reader: string, readonly name: string) {}

  get runIds (): Iterable<string> { return this.#cursors.keys() }

  /** Whether there is something to send, and room for it. */
  get isDue (): boolean {
    return this.#hasRoom && (this.#frames.length > 0 || this.#unsent.size > 0 || this.#gone.size > 0)
  }

  /** How many runs have something to send. */
  get waiting (): number { return this.#unsent.size }

  /** Sends a run from the event after `after` on; the first message says how far it is, even if there is none. */
  add (runId: string, after: number): void {
    this.#cursors.set(runId, after)
    this.#unsent.add(runId)
    this.#gone.delete(runId)
  }

  drop (runId: string): void {
    this.#cursors.delete(runId)
    this.#unsent.delete(runId)
  }

  /** A run is not here, or not any more. */
  dropGone (runId: string): void {
    this.drop(runId)
    this.#gone.add(runId)
  }

  /** A run that is wanted has a new event, or will have it in this tick. */
  schedule (runId: string): void { this.#unsent.add(runId) }

  hasUnsent (runId: string): boolean { return this.#unsent.has(runId) }

  /** The frames to be sent now, of one message, as far as the reader keeps up. */
  takeFrames (): string[] {
    const taken: string[] = []
    if (this.isDue && this.#frames.length === 0) this.#frames = this.#nextMessage()
    while (this.isDue && this.#frames.length > 0 && taken.length < MAX_FRAMES) {
      const frame = this.#frames.shift()!
      this.#sent += frame.length
      taken.push(frame)
    }
    return taken
  }

  get #hasRoom (): boolean { return this.#sent - this.received < WINDOW }

  #nextMessage (): string[] {
    const runs: ToldRun[] = []
    let size = 0
    for (const runId of this.#unsent) {
      if (size >= MAX_MESSAGE) break
      const after = this.#cursors.get(runId)!
      const packed = packRun(this.log, runId, after, MAX_RUN)
      const [, first, events, last] = packed.run
      const cursor = events.length > 0 ? first + events.length - 1 : after
      this.#cursors.set(runId, cursor)
      // What is left goes behind the other runs.
      this.#unsent.delete(runId)
      if (cursor < last) this.#unsent.add(runId)
      runs.push(packed.run)
      size += packed.size + runId.length
    }
    const gone = [...this.#gone]
    this.#gone.clear()
    return toFrames({ kind: 'told', from: this.owner, feed: this.name, number: ++this.#number, runs, gone })
  }
}
