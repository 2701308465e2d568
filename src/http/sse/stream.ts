import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { isFinal } from '#shared/final-event.ts'
import { PING_MS } from '#shared/http/sse.ts'
import { type Entry, type EventLog, frameOf } from '../../executor/events/event-log.js'
import { follow, type Follower, type Reader } from '../../executor/events/follow.js'
import type { StreamFormat } from './format.js'

/** One reader's connection: writes the frames of a run's events as the socket takes them. */
export class SseStream implements Reader {
  #follower?: Follower
  #runId = ''
  #lastWrite = Date.now()
  /** Frames go to the socket past the response, which would write three pieces for each; not for a client of HTTP/1.0. */
  readonly #socket?: Socket
  readonly #resume = () => this.#follower?.resume()

  /** @param until when the connection ends, in milliseconds since 1970. */
  constructor (private readonly raw: ServerResponse, private readonly format: StreamFormat, private readonly until: number) {
    if (raw.chunkedEncoding && raw.socket instanceof Socket) this.#socket = raw.socket
  }

  follow (log: EventLog, runId: string, after: number): void {
    this.#runId = runId
    this.#follower = follow(log, runId, after, this)
    this.#sink.on('drain', this.#resume)
  }

  /** The connection has closed, or was kept for another request. */
  stop (): void {
    this.#follower?.stop()
    this.#sink.off('drain', this.#resume)
  }

  get #sink (): Socket | ServerResponse { return this.#socket ?? this.raw }

  write (entry: Entry): boolean {
    this.#lastWrite = Date.now()
    // The end follows at once, and goes in the same write.
    if (isFinal(entry.event)) this.#socket?.cork()
    if (!this.#socket) return this.raw.write(this.format.encodePlain(entry.seq, entry.event, this.#runId))
    return this.#socket.write(frameOf(entry, this.format.encode, this.#runId), 'latin1')
  }

  end (): void {
    this.raw.end(this.format.end)
    this.#socket?.uncork()
  }

  /** The connection ends and the run does not. */
  moved (after: number): void {
    const { socket } = this.raw
    // A connection that is kept alive would keep the server from closing.
    this.raw.end(this.format.encodeReconnect(after), () => { socket?.end() })
  }

  /** Pings a quiet stream, and ends one that has lasted as long as a connection may. */
  beat (now: number): void {
    if (now >= this.until) this.reconnect()
    else if (now - this.#lastWrite >= PING_MS && !this.raw.writableEnded) this.#ping()
  }

  /** Ends the connection but not the run. The connection of a reader that did not take an earlier goodbye is destroyed. */
  reconnect (): void {
    if (this.raw.writableEnded) return this.destroy()
    this.#follower?.stop()
    this.moved(this.#follower?.cursor ?? 0)
  }

  destroy (): void {
    this.raw.destroy()
  }

  #ping (): void {
    this.#lastWrite = Date.now()
    this.raw.write(this.format.ping)
  }
}
