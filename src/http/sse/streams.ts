import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'
import { PING_MS } from '#shared/http/sse.ts'
import type { EventLog } from '../../executor/events/event-log.js'
import { GOODBYE_MS } from '../../shutdown.js'
import { STREAM_FORMATS, type StreamFormatName } from './formats.js'
import { SseStream } from './stream.js'

/** The open event streams, with one clock for all of them. */
export class SseStreams {
  readonly #streams = new Set<SseStream>()
  readonly #clock: NodeJS.Timeout
  #isClosing = false

  /** @param maxMs how long one connection may last. */
  constructor (private readonly log: EventLog, private readonly maxMs: number) {
    this.#clock = setInterval(() => this.#beat(), Math.min(PING_MS, maxMs / 4)).unref()
  }

  /** Answers with a run's events after `after`, until the run ends, the client leaves, or the server closes. */
  open (reply: FastifyReply, runId: string, after: number, formatName: StreamFormatName): FastifyReply {
    const format = STREAM_FORMATS[formatName]
    const { raw } = reply
    reply.hijack()
    // The client may have left while the run began.
    if (raw.destroyed) return reply
    const { socket } = raw
    // The head goes out with the events that are there.
    socket?.cork()
    if (this.#isClosing) reply.header('connection', 'close')
    raw.writeHead(200, reply.headers(format.headers).header('x-run-id', runId).getHeaders() as OutgoingHttpHeaders)
    raw.flushHeaders()
    dropHeads(reply)
    const stream = new SseStream(raw, format, Date.now() + this.maxMs)
    this.#streams.add(stream)
    raw.on('close', () => {
      this.#streams.delete(stream)
      stream.stop()
    })
    stream.follow(this.log, runId, after)
    socket?.uncork()
    return reply
  }

  /** Sends all readers on, and destroys the connections of those that do not take the goodbye in time. */
  close (): void {
    this.#isClosing = true
    clearInterval(this.#clock)
    for (const stream of this.#streams) stream.reconnect()
    setTimeout(() => { for (const stream of this.#streams) stream.destroy() }, GOODBYE_MS).unref()
  }

  #beat (): void {
    const now = Date.now()
    for (const stream of this.#streams) stream.beat(now)
  }
}

/**
 * Drops the headers of the request, a token among them, and those of the answer: Node keeps both for as long as the
 * connection lasts, which may be an hour. Node takes `_header` being set for the head having been sent.
 */
function dropHeads ({ raw, request }: FastifyReply): void {
  request.raw.headers = {}
  request.raw.rawHeaders = []
  Object.assign(raw, { _header: 'sent' })
}
