import type { Writable } from 'node:stream'
import type { WebSocket } from 'ws'
import { type Bytes, type Entry, frameOf } from '../../executor/events/event-log.js'
import type { Reader } from '../../executor/events/follow.js'
import { answersRequest, encodeReconnect, encodeSocket, encodeSocketFor } from './encode.js'

/** How many bytes a slow client may leave unread before its runs' events wait. */
export const HIGH_WATER = 256 * 1024

interface ReaderEvents { drained (): void, ended (): void }

/** Writes one run's events to one socket. */
export class SocketReader implements Reader {
  isAtEnd = false
  /** The ids that the client gave to the requests which this run answers. */
  readonly #requestIds: string[]

  constructor (
    private readonly socket: WebSocket,
    /** The connection below the socket: frames of events are encoded once for all readers, and written past `ws`. */
    private readonly connection: Writable,
    private readonly runId: string,
    requestId: string | undefined,
    private readonly on: ReaderEvents
  ) {
    this.#requestIds = requestId === undefined ? [] : [requestId]
  }

  /** Joins another request of this connection to the run: it gets the run's `started` now, and its end later. */
  join (requestId: string, entries: readonly Entry[]): void {
    if (this.#requestIds.includes(requestId)) return
    this.#requestIds.push(requestId)
    const started = entries.find(({ event }) => event.type === 'started')
    if (started) this.#send(encodeSocketFor(requestId)(started.seq, started.event, this.runId))
  }

  write (entry: Entry): boolean {
    if (this.#requestIds.length === 0 || !answersRequest(entry.event)) return this.#send(frameOf(entry, encodeSocket, this.runId))
    const sent = this.#requestIds.map(requestId => this.#send(encodeSocketFor(requestId)(entry.seq, entry.event, this.runId)))
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
    if (this.socket.readyState === this.socket.OPEN) this.socket.send(encodeReconnect(this.runId, after))
    this.end()
  }
}
