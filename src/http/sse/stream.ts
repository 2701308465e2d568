import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { isFinal } from '#shared/final-event.ts'
import { PING_MS } from '#shared/http/sse.ts'
import type { KnownEvents } from '#shared/reader/known-events.ts'
import { type Entry, type EventLog, frameOf } from '../../executor/events/event-log.js'
import { follow, type Follower, type Reader } from '../../executor/events/follow.js'
import { viewFor } from '../../executor/events/viewed-reader.js'
import type { StreamFormat } from './format.js'

export interface SseStreamOptions {
  readonly format: StreamFormat
  readonly runId: string
  /** The last event that the reader has. */
  readonly after: number
  readonly known: KnownEvents
  /** When the connection ends, in milliseconds since 1970. */
  readonly until: number
}

/** One reader's connection: writes the frames of a run's events as the socket takes them. */
export class SseStream implements Reader {
  readonly #view: Reader
  #follower?: Follower
  /** The last event that was written. */
  #told: number
  #lastWrite = Date.now()
  /** Nothing more is written, though the run may go on. */
  #hasLeft = false
  /** Frames go to the socket past the response, which would write three pieces for each; not for a client of HTTP/1.0. */
  readonly #socket?: Socket
  readonly #resume = () => this.#follower?.resume()

  constructor (private readonly log: EventLog, private readonly raw: ServerResponse, private readonly options: SseStreamOptions) {
    const { runId, after, known, format } = options
    this.#told = after
    this.#view = viewFor(this, log, { runId, after, known, hasMarks: format.hasMarks })
    if (raw.chunkedEncoding && raw.socket instanceof Socket) this.#socket = raw.socket
  }

  follow (): void {
    this.#followFrom(this.options.after)
  }

  /** The connection has closed, or was kept for another request. */
  stop (): void {
    this.#follower?.stop()
    this.#sink.off('drain', this.#resume)
  }

  get #sink (): Socket | ServerResponse { return this.#socket ?? this.raw }

  write (entry: Entry): boolean {
    if (this.#hasLeft) return true
    const { format, runId } = this.options
    this.#told = entry.seq
    // The end follows at once, and goes in the same write.
    if (isFinal(entry.event)) this.#socket?.cork()
    const frame = this.#socket ? frameOf(entry, format.encode, runId) : format.encodePlain(entry.seq, entry.event, runId)
    // An event that the format does not say leaves the connection as quiet as it was.
    if (frame !== '') this.#lastWrite = Date.now()
    const hasRoom = this.#socket ? this.#socket.write(frame, 'latin1') : this.raw.write(frame)
    if (!hasRoom) this.#sink.once('drain', this.#resume)
    const isOver = format.hasFailed || (format.state && format.state() !== 'open')
    if (isOver && !isFinal(entry.event)) this.#leave()
    return hasRoom
  }

  replacing (cursor: number): void {
    this.options.format.replacing?.(cursor)
  }

  end (): void {
    if (!this.#hasLeft) this.#leave()
  }

  /** The log has evicted the run: a reader that cannot come back stays, and gets the rest from Redis or from the database. */
  moved (after: number): void {
    if (this.#hasLeft) return
    if (this.options.known.has('reconnect') && !this.options.format.state) this.#sayGoodbye()
    else this.#followFrom(after)
  }

  /** Pings a quiet stream, and ends one that has lasted as long as a connection may. */
  beat (now: number): void {
    if (now >= this.options.until) this.leave()
    else if (now - this.#lastWrite >= PING_MS && !this.raw.writableEnded) this.#ping()
  }

  /** Ends the connection but not the run. The connection of a reader that did not take an earlier goodbye is destroyed. */
  leave (): void {
    if (this.raw.writableEnded) return this.destroy()
    this.#follower?.stop()
    if (this.options.format.state) this.#cut()
    else this.#sayGoodbye()
  }

  destroy (): void {
    this.raw.destroy()
  }

  #followFrom (after: number): void {
    const follower = this.#follower = follow(this.log, this.options.runId, after, this.#view)
    if (this.#hasLeft) follower.stop()
  }

  /** Ends the response, if what was sent is all there is to say. */
  #leave (): void {
    const { format } = this.options
    this.#hasLeft = true
    this.#follower?.stop()
    if (format.state && format.state() !== 'whole') return this.#cut()
    this.raw.end(format.end)
    this.#socket?.uncork()
  }

  /** Ends the connection within the response, behind what was written: a client cannot take that for the end of the answer. */
  #cut (): void {
    this.#hasLeft = true
    this.raw.socket?.destroySoon()
  }

  #sayGoodbye (): void {
    const { format, known, runId } = this.options
    const { socket } = this.raw
    const goodbye = known.has('reconnect') ? format.encodeReconnect(this.#told) : format.encodeCutOff(runId)
    // A connection that is kept alive would keep the server from closing.
    this.raw.end(goodbye, () => { socket?.end() })
  }

  #ping (): void {
    this.#lastWrite = Date.now()
    this.raw.write(this.options.format.ping)
  }
}
