import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { isFinal } from '#shared/final-event.ts'
import { encodeReconnect, encodeSse, PING_MS, SSE_DONE, SSE_HEADERS, SSE_PING } from '#shared/http/sse.ts'
import { type Entry, type EventLog, follow, type Follower, frameOf, type Reader } from '../executor/events/event-log.js'
import { MemoryEventLog } from '../executor/events/memory-event-log.js'
import { encodeSseChunk } from '../http/sse/encode.js'

declare module 'fastify' {
  interface FastifyInstance {
    events: EventLog
  }
  interface FastifyReply {
    /** Answers with a run's events after `after` as SSE, until the run ends, the client leaves, or the server does. */
    streamRun (runId: string, after?: number): FastifyReply
  }
}

const LOG_BYTES = 256 * 1024 * 1024
const KEEP_MS = 10 * 60_000

/** How long a reader has to take the goodbye. */
const GOODBYE_MS = 1_000

async function events (app: FastifyInstance): Promise<void> {
  const log = await createLog(app)
  const streams = new Set<SseStream>()
  const maxMs = app.config.sseMaxSeconds * 1000
  let isClosing = false

  app.decorate('events', log)
  app.decorateReply('streamRun', streamRun)

  // One clock for all streams, not a timer each.
  const clock = setInterval(beat, Math.min(PING_MS, maxMs / 4)).unref()
  app.addHook('preClose', async () => {
    isClosing = true
    clearInterval(clock)
    for (const stream of streams) stream.reconnect()
    setTimeout(() => { for (const stream of streams) stream.destroy() }, GOODBYE_MS).unref()
  })
  app.addHook('onClose', async () => log.close())

  function beat (): void {
    const now = Date.now()
    for (const stream of streams) stream.beat(now)
  }

  function streamRun (this: FastifyReply, runId: string, after = 0): FastifyReply {
    const { raw } = this
    this.hijack()
    // The client may have left while the run began.
    if (raw.destroyed) return this
    const { socket } = raw
    // The head goes with the events that are there.
    socket?.cork()
    if (isClosing) this.header('connection', 'close')
    raw.writeHead(200, this.headers(SSE_HEADERS).header('x-run-id', runId).getHeaders() as OutgoingHttpHeaders)
    raw.flushHeaders()
    letGoOfHeads(this)
    const stream = new SseStream(raw, Date.now() + maxMs)
    streams.add(stream)
    raw.on('close', () => {
      streams.delete(stream)
      stream.leave()
    })
    stream.follow(log, runId, after)
    socket?.uncork()
    return this
  }
}

/**
 * A stream may last for an hour: by then nobody needs what was asked by and answered with, of which Node.js keeps both, a
 * token included. That its head is sent Node.js knows by there being one.
 */
function letGoOfHeads ({ raw, request }: FastifyReply): void {
  request.raw.headers = {}
  request.raw.rawHeaders = []
  Object.assign(raw, { _header: 'sent' })
}

/** Beside Redis what is told here can be read everywhere. */
async function createLog ({ redis }: FastifyInstance): Promise<MemoryEventLog> {
  const options = { maxBytes: LOG_BYTES, keepMs: KEEP_MS }
  if (!redis) return new MemoryEventLog(options)
  const { SharedEventLog } = await import('../redis/event-log.js')
  return new SharedEventLog(redis.link.commands, redis.streams, options)
}

/** One reader's connection. */
class SseStream implements Reader {
  #follower?: Follower
  #runId = ''
  #lastWrite = Date.now()
  /** Where chunks are written past the response, which would make three pieces of each; not for a client of HTTP/1.0. */
  readonly #socket?: Socket
  readonly #resume = () => this.#follower?.resume()

  /** @param until when the connection is ended, in milliseconds since 1970. */
  constructor (private readonly raw: ServerResponse, private readonly until: number) {
    if (raw.chunkedEncoding && raw.socket instanceof Socket) this.#socket = raw.socket
  }

  follow (log: EventLog, runId: string, after: number): void {
    this.#runId = runId
    this.#follower = follow(log, runId, after, this)
    this.#sink.on('drain', this.#resume)
  }

  /** The connection is gone, or was kept for another request. */
  leave (): void {
    this.#follower?.stop()
    this.#sink.off('drain', this.#resume)
  }

  get #sink (): Socket | ServerResponse { return this.#socket ?? this.raw }

  write (entry: Entry): boolean {
    this.#lastWrite = Date.now()
    // The end follows at once.
    if (isFinal(entry.event)) this.#socket?.cork()
    if (!this.#socket) return this.raw.write(encodeSse(entry.seq, entry.event))
    return this.#socket.write(frameOf(entry, encodeSseChunk, this.#runId), 'latin1')
  }

  end (): void {
    this.raw.end(SSE_DONE)
    this.#socket?.uncork()
  }

  /** The connection ends and the run does not. */
  moved (after: number): void {
    const { socket } = this.raw
    // Kept alive it would keep the server from closing.
    this.raw.end(encodeReconnect(after), () => { socket?.end() })
  }

  beat (now: number): void {
    if (now >= this.until) this.reconnect()
    else if (now - this.#lastWrite >= PING_MS && !this.raw.writableEnded) this.#ping()
  }

  /** Ends the connection but not the run. A reader who did not take an earlier goodbye gets no other. */
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
    this.raw.write(SSE_PING)
  }
}

export default fp(events, { name: 'events', dependencies: ['redis'] })
