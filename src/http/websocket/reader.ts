import type { Writable } from 'node:stream'
import type { WebSocket } from 'ws'
import type { KnownEvents } from '#shared/reader/known-events.ts'
import { type Bytes, type Entry, frameOf } from '../../executor/events/event-log.js'
import type { Reader } from '../../executor/events/follow.js'
import { answersRequest, encodeCutOff, encodeReconnect, encodeSocket, encodeSocketFor } from './encode.js'

/** How many bytes a slow client may leave unread before its runs' events wait. */
export const HIGH_WATER = 256 * 1024

interface ReaderEvents {
  drained (): void
  ended (): void
  /** The log has evicted the run, and the client is to stay. */
  evicted (after: number): void
}

/** What a client follows. */
export interface Followed {
  readonly runId: string
  /** The last event that the client has. */
  readonly after: number
  /** What the client knows of events. */
  readonly known: KnownEvents
  /** The id that the client gave to the request which this run answers. */
  readonly requestId?: string
}

/** Writes one run's events to one socket. */
export class SocketReader implements Reader {
  isAtEnd = false
  /** The last event that was written. */
  #told: number
  readonly #requestIds: string[]

  constructor (
    private readonly socket: WebSocket,
    /** The connection below the socket: frames of events are encoded once for all readers, and written past `ws`. */
    private readonly connection: Writable,
    private readonly followed: Followed,
    private readonly on: ReaderEvents
  ) {
    this.#told = followed.after
    this.#requestIds = followed.requestId === undefined ? [] : [followed.requestId]
  }

  /** Joins another request of this connection to the run: it gets the run's `started` now, and its end later. */
  join (requestId: string, entries: readonly Entry[]): void {
    if (this.#requestIds.includes(requestId)) return
    this.#requestIds.push(requestId)
    const started = entries.find(({ event }) => event.type === 'started')
    if (started) this.#send(encodeSocketFor(requestId)(started.seq, started.event, this.followed.runId))
  }

  write (entry: Entry): boolean {
    const { runId } = this.followed
    this.#told = entry.seq
    if (this.#requestIds.length === 0 || !answersRequest(entry.event)) return this.#send(frameOf(entry, encodeSocket, runId))
    const sent = this.#requestIds.map(requestId => this.#send(encodeSocketFor(requestId)(entry.seq, entry.event, runId)))
    return sent.every(Boolean)
  }

  #send (frame: Bytes): boolean {
    // Nothing is sent after the goodbye.
    if (this.socket.readyState !== this.socket.OPEN) return true
    const hasRoom = this.socket.bufferedAmount + frame.length < HIGH_WATER
    if (hasRoom) this.connection.write(frame, 'latin1')
    else this.connection.write(frame, 'latin1', error => { if (!error) this.on.drained() })
    return hasRoom
  }

  end (): void {
    this.isAtEnd = true
    this.on.ended()
  }

  moved (after: number): void {
    if (!this.followed.known.has('reconnect')) return this.on.evicted(after)
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(encodeReconnect(this.followed.runId, this.#told))
    this.end()
  }

  /** The run goes on, and nothing more of it can come here: a client that does not know `reconnect` is told so by an error. */
  cutOff (): void {
    if (this.followed.known.has('reconnect') || this.socket.readyState !== this.socket.OPEN) return
    const requestIds = this.#requestIds.length > 0 ? this.#requestIds : [undefined]
    for (const requestId of requestIds) this.socket.send(encodeCutOff(this.followed.runId, requestId))
  }
}
