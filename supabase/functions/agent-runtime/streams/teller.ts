import { attemptOf } from '../../_shared/event-number.ts'
import { EventView } from '../../_shared/reader/event-view.ts'
import type { KnownEvents } from '../../_shared/reader/known-events.ts'
import type { NumberedEvent } from '../../_shared/trace.ts'
import { withDelta } from './deltas.ts'
import { type Bytes, eventOf, type Frame, toFrame } from './frame.ts'

/** Makes of a run's frames what a reader is told, by what it knows. Frames that it is told as they are are not parsed. */
export class Teller {
  /** The last event that the reader has. */
  told: number
  readonly #view: EventView
  /** The frames that make up the text, for as long as they may be needed to know what the reader has. */
  #history: Frame[] = []
  #hasBegun = false

  /** @param deltas whether the reader may be one of OpenAI's deltas. */
  constructor (private readonly known: KnownEvents, private readonly after: number, private readonly deltas = false) {
    this.told = after
    this.#view = new EventView(known)
  }

  /** The bytes to send instead of a frame. */
  tell (frame: Frame): Bytes[] {
    const { seq, type } = frame
    const isNew = seq === 0 || seq > this.after
    if (isNew && !this.#hasBegun) this.#begin(seq)
    const told = isNew ? this.#translate(frame) : []
    if (!this.known.has('rewind') && (type === 'chunk' || type === 'rewind')) this.#history.push(frame)
    if (told === undefined) {
      this.told = seq || this.told
      return [this.#bytesOf(frame)]
    }
    for (const { seq } of told) this.told = seq || this.told
    return told.map(frame => this.#bytesOf(frame))
  }

  #bytesOf (frame: Frame): Bytes {
    return this.deltas ? withDelta(frame) : frame.bytes
  }

  /** Undefined: the frame itself. */
  #translate (frame: Frame): Frame[] | undefined {
    if (this.#view.passes(frame.type)) return undefined
    const event = eventOf(frame)
    return this.#view.translate({ seq: frame.seq, event }, () => this.#events()).map(toFrame)
  }

  #begin (seq: number): void {
    this.#hasBegun = true
    const attempt = attemptOf(Math.max(seq, 1))
    this.#view.resume(this.after, attempt, () => this.#events().filter(({ seq }) => attemptOf(seq) === attempt))
  }

  #events (): NumberedEvent[] {
    return this.#history.map(frame => ({ seq: frame.seq, event: eventOf(frame) }))
  }
}
