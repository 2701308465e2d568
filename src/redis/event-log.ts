import type { ChainableCommander, Redis } from 'ioredis'
import { attemptOf, firstSeq } from '#shared/event-number.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { Entry, Subscriber } from '../executor/events/event-log.js'
import { MemoryEventLog, type MemoryEventLogOptions } from '../executor/events/memory-event-log.js'
import { streamKey } from './keys.js'
import type { StreamEntry, StreamReader } from './stream-reader.js'

/** How long events wait for others to go with them: a part of what a reader elsewhere waits. */
const FLUSH_MS = 3
/** How long a Redis that takes nothing is left alone. */
const RETRY_MS = 500
/** What one entry of a stream holds at the most, in characters of JSON; what is more goes into the next. */
const MAX_ENTRY = 64 * 1024
/** Entries of a run, some hours of it; who comes later than that gets the end from the database. */
const MAX_LENGTH = 1_000_000
/** How long a stream outlives what was written last; one that is still told is written anew. */
const KEEP_SECONDS = 3600
const RENEW_MS = KEEP_SECONDS * 500
const KEEP_ENDED_SECONDS = 600

/** How far the stream of a run that is made here has got. */
interface Published {
  readonly runId: string
  readonly attempt: number
  /** The number of the last event that Redis has. */
  until: number
  /** When the stream has to be told to stay for longer. */
  expires: number
  /** Another attempt goes on with the run: nothing of this one is taken any more. */
  isFenced: boolean
  /** Redis was away: it may have less than it said. */
  isDoubtful: boolean
}

/**
 * The log of one process among many: what is told here goes to Redis as well, and what is told elsewhere comes from
 * there. An entry of a run's stream is some events, as JSON, and its id the number of the last of them: so Redis
 * refuses what an attempt says that another has followed. Redis lags behind memory and holds nothing that is needed:
 * what it loses is written again, and what it does not take waits in the log.
 */
export class SharedEventLog extends MemoryEventLog {
  #published = new Map<string, Published>()
  #unsent = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #isFlushing = false
  #isClosed = false
  #mirrored = new Map<string, () => void>()

  constructor (private readonly redis: Redis, private readonly tail: StreamReader, options: MemoryEventLogOptions) {
    super(options)
    redis.on('ready', this.#doubt)
  }

  override open (runId: string, attempt: number): void {
    super.open(runId, attempt)
    this.#endMirror(runId)
    this.#publish(runId, attempt)
  }

  override append (runId: string, event: RunEvent): Entry {
    // First of all, or its last event may be what the log has no room for.
    this.#unsent.add(runId)
    const entry = super.append(runId, event)
    if (!this.#published.has(runId)) this.#publish(runId, attemptOf(entry.seq))
    this.#schedule(FLUSH_MS)
    return entry
  }

  /** What Redis is about to get is kept until then, unless it is away. */
  protected override mayEvict (runId: string): boolean {
    return !this.#unsent.has(runId) || this.redis.status !== 'ready'
  }

  override evict (runId: string): void {
    this.#endMirror(runId)
    this.#published.delete(runId)
    this.#unsent.delete(runId)
    super.evict(runId)
  }

  override subscribe (runId: string, subscriber: Subscriber): void {
    super.subscribe(runId, subscriber)
    if (this.isRemote(runId)) this.#mirror(runId)
  }

  override unsubscribe (runId: string, subscriber: Subscriber): void {
    super.unsubscribe(runId, subscriber)
    if (!this.isFollowed(runId)) this.#endMirror(runId)
  }

  override close (): void {
    this.#isClosed = true
    this.redis.off('ready', this.#doubt)
    clearTimeout(this.#timer)
    super.close()
  }

  /** As far as Redis knows; nothing where it has lost the beginning. */
  override async readLatest (runId: string): Promise<Array<{ seq: number, event: RunEvent }>> {
    const entries = await this.redis.xrange(streamKey(runId), '-', '+')
    const told = entries.flatMap(([id, fields]) => number({ number: Number(id.split('-')[0]), part: 0, value: fields[1]! }))
    const first = firstSeq(attemptOf(told.at(-1)?.seq ?? 1))
    const events: typeof told = []
    // What was sent again is in it twice.
    for (const one of told) if (one.seq === first + events.length) events.push(one)
    return events
  }

  /** Redis is back, perhaps as it was some time ago. */
  readonly #doubt = (): void => {
    for (const published of this.#published.values()) {
      // The database has what has ended.
      if (this.hasEnded(published.runId) && published.until === this.last(published.runId)) continue
      published.isDoubtful = true
      this.#unsent.add(published.runId)
    }
    if (this.#unsent.size > 0) this.#schedule(FLUSH_MS)
  }

  #publish (runId: string, attempt: number): void {
    this.#published.set(runId, { runId, attempt, until: firstSeq(attempt) - 1, expires: 0, isFenced: false, isDoubtful: false })
  }

  #mirror (runId: string): void {
    if (this.#mirrored.has(runId)) return
    const end = this.tail.watch(streamKey(runId), '0', entries => {
      for (const entry of entries) {
        const events = number(entry)
        this.ingest(runId, events[0]!.seq, events.map(({ event }) => event))
      }
      if (this.hasEnded(runId)) this.#endMirror(runId)
    })
    this.#mirrored.set(runId, end)
  }

  #endMirror (runId: string): void {
    this.#mirrored.get(runId)?.()
    this.#mirrored.delete(runId)
  }

  #schedule (ms: number): void {
    if (!this.#isFlushing && !this.#isClosed) this.#timer ??= setTimeout(() => this.#flush(), ms)
  }

  /** Sends what is unsent, all runs' at once; what comes meanwhile goes with the next. */
  async #flush (): Promise<void> {
    this.#timer = undefined
    this.#isFlushing = true
    const sent = [...this.#unsent]
    this.#unsent.clear()
    const isTaken = await this.#send(sent)
    this.#isFlushing = false
    if (this.#unsent.size > 0) this.#schedule(isTaken ? FLUSH_MS : RETRY_MS)
  }

  /** Returns whether all of it was taken; what is left to send is unsent again. */
  async #send (runIds: string[]): Promise<boolean> {
    const doubtful = runIds.flatMap(runId => this.#published.get(runId) ?? []).filter(({ isDoubtful }) => isDoubtful)
    let isTaken = (await Promise.all(doubtful.map(published => this.#catchUp(published)))).every(Boolean)
    const pipeline = this.redis.pipeline()
    const commands = runIds.flatMap(runId => this.#write(pipeline, runId))
    const results = await pipeline.exec().catch((error: Error) => commands.map(() => [error, undefined] as const))
    for (const [index, { published, until, expires }] of commands.entries()) {
      const [error, result] = results![index]!
      // Another attempt may have begun meanwhile, which these numbers are not of.
      if (this.#published.get(published.runId) !== published) continue
      if (until !== undefined && !await this.#confirm(published, until, error, result)) isTaken = false
      if (expires !== undefined && !error) published.expires = expires
    }
    return isTaken
  }

  /**
   * Adds a run's unsent events to a pipeline, as many as an entry holds: the next one is sent when this one is taken,
   * or a stream could have a hole.
   */
  #write (pipeline: ChainableCommander, runId: string): Command[] {
    const published = this.#published.get(runId)
    if (!published || published.isFenced || published.isDoubtful) return []
    const commands: Command[] = []
    const key = streamKey(runId)
    const first = firstSeq(published.attempt)
    const { json, length } = toValue(this.entries(runId, published.until))
    if (length > 0) {
      const until = published.until + length
      // A stream that is there no more is not begun in its middle.
      const mayBegin = published.until < first
      pipeline.xadd(key, ...(mayBegin ? [] : ['NOMKSTREAM']), 'MAXLEN', '~', MAX_LENGTH, `${until}-0`, 'e', json)
      commands.push({ published, until })
      if (mayBegin && published.attempt > 1) {
        pipeline.xtrim(key, 'MINID', first)
        commands.push({ published })
      }
    }
    const isEnded = this.hasEnded(runId)
    if (isEnded || Date.now() > published.expires) {
      pipeline.expire(key, isEnded ? KEEP_ENDED_SECONDS : KEEP_SECONDS)
      commands.push({ published, expires: Date.now() + RENEW_MS })
    }
    return commands
  }

  /** Notes what became of an entry, and whether there is more to send; false: not now. */
  async #confirm (published: Published, until: number, error: Error | null, result: unknown): Promise<boolean> {
    const { runId, attempt } = published
    if (error?.message.includes('equal or smaller')) return this.#catchUp(published)
    if (error) {
      this.#unsent.add(runId)
      return false
    }
    // Where Redis has lost the stream it is written again from its beginning.
    if (result === null) this.#publish(runId, attempt)
    else published.until = until
    if (result === null || until < (this.last(runId) ?? 0)) this.#unsent.add(runId)
    return true
  }

  /**
   * Looks how far the stream is: ahead, where the answer to what was sent was lost; behind, where Redis has lost
   * something; or another attempt's, which goes on with the run.
   */
  async #catchUp (published: Published): Promise<boolean> {
    const { runId, attempt } = published
    const last = await this.redis.xrevrange(streamKey(runId), '+', '-', 'COUNT', 1).catch(() => undefined)
    this.#unsent.add(runId)
    if (!last) return false
    const top = Number(last[0]?.[0].split('-')[0] ?? 0)
    published.isDoubtful = false
    published.isFenced = attemptOf(top) > attempt
    published.until = top >= firstSeq(attempt) ? Math.min(top, this.last(runId) ?? top) : firstSeq(attempt) - 1
    return true
  }
}

/** What is asked of Redis for a run: an entry whose last event is number `until`, or to keep the stream until `expires`. */
interface Command { readonly published: Published, readonly until?: number, readonly expires?: number }

/** The first of some events, as many as an entry holds, but one at the least where there is one. */
function toValue (entries: readonly Entry[]): { json: string, length: number } {
  const events: string[] = []
  let size = 0
  for (const { event } of entries) {
    const json = JSON.stringify(event)
    if (size > 0 && size + json.length > MAX_ENTRY) break
    events.push(json)
    size += json.length
  }
  return { json: `[${events.join()}]`, length: events.length }
}

/** The events of an entry with their numbers. */
function number ({ number: last, value }: StreamEntry): Array<{ seq: number, event: RunEvent }> {
  const events = JSON.parse(value) as RunEvent[]
  return events.map((event, index) => ({ seq: last - events.length + 1 + index, event }))
}
