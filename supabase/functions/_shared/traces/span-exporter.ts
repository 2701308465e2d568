import { causeCodeOf } from '../gateway/cause-code.ts'
import { encodeAttributes } from './span.ts'
import type { TraceSettings } from './settings.ts'

/** Writes a line for operators. */
export type ExporterLog = (level: 'warn' | 'info', message: string, fields: Record<string, unknown>) => void

export interface ExporterOptions extends Pick<TraceSettings, 'url' | 'headers' | 'timeoutMs' | 'resource'> {
  /** The version of the program. */
  version?: string
  /** Milliseconds for which spans are gathered before they are sent; undefined: until `flush`. */
  delayMs?: number
  log: ExporterLog
  /** Replaced in tests only. */
  maxQueued?: { spans: number, characters: number }
}

/** What waits to be sent: beyond it spans are dropped. */
const MAX_QUEUED = { spans: 8192, characters: 16 * 1024 * 1024 }
/** Of one request. */
const MAX_BATCH = { spans: 512, characters: 1024 * 1024 }
/** Between two tries while the collector is away, in milliseconds. */
const FIRST_PAUSE = 1_000
const MAX_PAUSE = 30_000
/** Failures are told once, and then so often. */
const LOG_EVERY = 60_000
/** By OTLP these may be sent again; any other answer ends what was sent. */
const RETRYABLE = new Set([429, 502, 503, 504])

/**
 * Sends spans to a collector, as OTLP over HTTP in JSON. It never rejects, throws or makes anybody wait: what a collector that is
 * away or slow does not take is kept for a while, and then dropped. Of an answer nothing is read but its status.
 */
export class SpanExporter {
  readonly #head: string
  /** Encoded, oldest first. */
  #queue: string[] = []
  #characters = 0
  #dropped = 0
  #sending: Promise<void> | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #pause = 0
  #loggedAt = -Infinity
  #isClosed = false

  constructor (private readonly options: ExporterOptions) {
    const { resource, version } = options
    const scope = { name: 'jeesi-railway-backend', version }
    this.#head = `{"resourceSpans":[{"resource":${JSON.stringify({ attributes: encodeAttributes(resource) })},"scopeSpans":[{"scope":${JSON.stringify(scope)},"spans":[`
  }

  /** How many spans wait to be sent. */
  get queued (): number { return this.#queue.length }

  /** Takes spans, or none of them if there is no room: half a run is worse than none. @param spans as `encodeSpan` makes them. */
  add (spans: readonly string[]): void {
    const { maxQueued = MAX_QUEUED, delayMs } = this.options
    const characters = spans.reduce((sum, { length }) => sum + length, 0)
    if (this.#isClosed || this.#queue.length + spans.length > maxQueued.spans || this.#characters + characters > maxQueued.characters) {
      this.#dropped += spans.length
      return this.#tell('spans were dropped', 'the queue is full')
    }
    this.#queue.push(...spans)
    this.#characters += characters
    if (delayMs !== undefined && this.#sending === undefined) this.#sendAfter(Math.max(delayMs, this.#pause))
  }

  /** Sends what waits. Resolves when all of it is sent, or at the first failure. */
  flush (): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined
      if (this.#queue.length > 0 && this.options.delayMs !== undefined) this.#sendAfter(Math.max(this.options.delayMs, this.#pause))
    })
    return this.#sending
  }

  /** Sends what waits a last time, and takes no more. Who ends the process waits as long as it likes. */
  async close (): Promise<void> {
    this.#isClosed = true
    // What is added while a request is under way is sent by the same loop.
    await this.flush()
    clearTimeout(this.#timer)
  }

  #sendAfter (ms: number): void {
    if (this.#timer !== undefined || this.#isClosed) return
    this.#timer = setTimeout(() => { this.flush() }, ms)
    // In Node it does not keep the process alive.
    ;(this.#timer as { unref?: () => void }).unref?.()
  }

  async #send (): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#nextBatch()
      const outcome = await this.#post(`${this.#head}${batch.join(',')}]}]}]}`)
      if (outcome !== 'taken' && outcome.mayRetry) {
        this.#pause = Math.min(MAX_PAUSE, this.#pause * 2 || FIRST_PAUSE)
        return this.#tell('the collector of traces takes no spans', outcome.reason)
      }
      this.#pause = 0
      this.#queue = this.#queue.slice(batch.length)
      this.#characters -= batch.reduce((sum, { length }) => sum + length, 0)
      if (outcome === 'taken') continue
      this.#dropped += batch.length
      this.#tell('the collector of traces refuses spans', outcome.reason)
    }
  }

  /** One span at least. */
  #nextBatch (): string[] {
    let characters = 0
    const end = this.#queue.findIndex((span, index) => index >= MAX_BATCH.spans || ((characters += span.length) > MAX_BATCH.characters && index > 0))
    return this.#queue.slice(0, end === -1 ? undefined : end)
  }

  /** @returns why the collector has not taken the spans, and whether it may later. */
  async #post (body: string): Promise<'taken' | { reason: string, mayRetry: boolean }> {
    const { url, headers, timeoutMs } = this.options
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'user-agent': 'jeesi-railway-backend', ...headers, 'content-type': 'application/json' },
        body,
        // The headers may hold a secret, which must not go to another address.
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs)
      })
      response.body?.cancel().catch(() => {})
      const { ok, status } = response
      return ok ? 'taken' : { reason: `status ${status}`, mayRetry: RETRYABLE.has(status) }
    } catch (error) {
      return { reason: causeCodeOf(error) ?? (error instanceof Error ? error.name : 'failed'), mayRetry: true }
    }
  }

  /** Once for a cause, and then at a rate, with what was dropped since. */
  #tell (message: string, reason: string): void {
    const now = Date.now()
    if (now - this.#loggedAt < LOG_EVERY) return
    this.#loggedAt = now
    this.options.log('warn', message, { reason, host: new URL(this.options.url).host, queued: this.#queue.length, dropped: this.#dropped })
    this.#dropped = 0
  }
}
