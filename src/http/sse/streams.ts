import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'
import { PING_MS } from '#shared/http/sse.ts'
import { ALL_EVENTS, type KnownEvents } from '#shared/reader/known-events.ts'
import type { EventLog } from '../../executor/events/event-log.js'
import { GOODBYE_MS } from '../../shutdown.js'
import type { StreamedRun } from './format.js'
import { STREAM_FORMATS, type StreamFormatName } from './formats.js'
import { HeadWait } from './head-wait.js'
import { SseStream } from './stream.js'

/** How a reader wants to be streamed a run. */
export interface StreamOptions {
  /** The last event that it has; by default none. */
  after?: number
  format?: StreamFormatName
  /** What it knows; by default all. */
  known?: KnownEvents
  /** Called when what it is told before any event has left this process, if it is told something. */
  opened? (): void
}

/** The open event streams, with one clock for all of them. */
export class SseStreams {
  readonly #streams = new Set<SseStream>()
  readonly #waits = new Set<HeadWait>()
  readonly #clock: NodeJS.Timeout
  #isClosing = false

  /**
   * @param maxMs how long one connection may last.
   * @param headMs how long a head may wait for the run's first output.
   */
  constructor (private readonly log: EventLog, private readonly maxMs: number, private readonly headMs: number) {
    this.#clock = setInterval(() => this.#beat(), Math.min(PING_MS, maxMs / 4)).unref()
  }

  /** How many streams are open. */
  get size (): number { return this.#streams.size }

  /** Answers with a run's events, until the run ends, the client leaves, or the server closes. */
  open (reply: FastifyReply, run: StreamedRun, { after = 0, format: formatName = 'jeesi', known = ALL_EVENTS, opened }: StreamOptions = {}): FastifyReply {
    const { runId } = run
    const format = STREAM_FORMATS[formatName](run, last => this.log.entries(runId).filter(({ seq }) => seq <= last))
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
    if (reply.request.method === 'HEAD') {
      socket?.uncork()
      raw.end()
      return reply
    }
    dropHeads(reply)
    const stream = new SseStream(this.log, raw, { format, runId, after, known, until: Date.now() + this.maxMs })
    const { opening } = format
    if (opening) raw.write(opening, () => opened?.())
    this.#streams.add(stream)
    raw.on('close', () => {
      this.#streams.delete(stream)
      stream.stop()
    })
    stream.follow()
    if (this.#isClosing && !raw.writableEnded) stream.leave()
    socket?.uncork()
    return reply
  }

  /**
   * Waits for a run's first output before its stream is opened, for as long as a head may wait.
   * @throws {ServiceError} the error of a run that failed before that, with its id; shutting_down.
   */
  async waitForOutput ({ raw }: FastifyReply, runId: string): Promise<void> {
    const wait = new HeadWait(this.log, runId, this.headMs, raw)
    this.#waits.add(wait)
    if (this.#isClosing) wait.close()
    try {
      await wait.over
    } finally {
      this.#waits.delete(wait)
    }
  }

  /** Says goodbye to all readers, and destroys the connections of those that do not take it in time. */
  close (): void {
    this.#isClosing = true
    clearInterval(this.#clock)
    for (const wait of this.#waits) wait.close()
    for (const stream of this.#streams) stream.leave()
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
