import type { ChainableCommander, Redis } from 'ioredis'
import { attemptOf, firstSeq, MemoryEventLog, type Entry, type MemoryEventLogOptions, type Subscriber } from '../executor/event-log.js'
import type { RunEvent } from '../schemas.js'
import { streamKey } from './keys.js'
import type { StreamEntry, Tail } from './tail.js'

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
  readonly attempt: number
  /** The number of the last event that Redis has. */
  until: number
  /** When the stream has to be told to stay for longer. */
  expires: number
  /** Another attempt goes on with the run: nothing of this one is taken any more. */
  isFenced: boolean
}

/**
 * The log of one process among many: what is told here goes to Redis as well, and what is told elsewhere comes from
 * there. An entry of a run's stream is some events, as JSON, and its id the number of the last of them: so Redis
 * refuses what an attempt says that another has followed. Redis lags behind memory and holds nothing that is needed: what it loses is written again, and what it does
 * not take waits in the log.
 */
export class SharedEventLog extends MemoryEventLog {
  #published = new Map<string, Published>()
  #unsent = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #isFlushing = false
  #mirrored = new Map<string, () => void>()

  constructor (private readonly redis: Redis, private readonly tail: Tail, options: MemoryEventLogOptions) {
    super(options)
  }

  override open (runId: string, attempt: number): void {
    super.open(runId, attempt)
    this.#endMirror(runId)
    this.#publish(runId, attempt)
  }

  override append (runId: string, event: RunEvent): Entry {
    const entry = super.append(runId, event)
    if (!this.#published.has(runId)) this.#publish(runId, attemptOf(entry.seq))
    this.#unsent.add(runId)
    this.#schedule(FLUSH_MS)
    return entry
  }

  override forget (runId: string): void {
    this.#endMirror(runId)
    this.#published.delete(runId)
    this.#unsent.delete(runId)
    super.forget(runId)
  }

  override subscribe (runId: string, subscriber: Subscriber): () => void {
    const unsubscribe = super.subscribe(runId, subscriber)
    if (this.isElsewhere(runId)) this.#mirror(runId)
    return () => {
      unsubscribe()
      if (!this.isFollowed(runId)) this.#endMirror(runId)
    }
  }

  override close (): void {
    clearTimeout(this.#timer)
    super.close()
  }

  /** As far as Redis knows. */
  override async read (runId: string): Promise<Array<{ seq: number, event: RunEvent }>> {
    const entries = await this.redis.xrange(streamKey(runId), '-', '+')
    const told = entries.flatMap(([id, fields]) => number({ number: Number(id.split('-')[0]), part: 0, value: fields[1]! }))
    const attempt = attemptOf(told.at(-1)?.seq ?? 1)
    return told.filter(({ seq }) => attemptOf(seq) === attempt)
  }

  #publish (runId: string, attempt: number): void {
    this.#published.set(runId, { attempt, until: firstSeq(attempt) - 1, expires: 0, isFenced: false })
  }

  #mirror (runId: string): void {
    if (this.#mirrored.has(runId)) return
    const end = this.tail.watch(streamKey(runId), '0', entries => {
      for (const entry of entries) {
        const events = number(entry)
        this.keep(runId, events[0]!.seq, events.map(({ event }) => event))
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
    if (!this.#isFlushing) this.#timer ??= setTimeout(() => this.#flush(), ms)
  }

  /** Sends what is unsent, all runs' at once; what comes meanwhile goes with the next. */
  async #flush (): Promise<void> {
    this.#timer = undefined
    this.#isFlushing = true
    const sent = [...this.#unsent]
    this.#unsent.clear()
    const failed = await this.#send(sent)
    this.#isFlushing = false
    for (const runId of failed) this.#unsent.add(runId)
    if (this.#unsent.size > 0) this.#schedule(failed.length > 0 ? RETRY_MS : FLUSH_MS)
  }

  /** Returns the runs of which not all was taken. */
  async #send (runIds: string[]): Promise<string[]> {
    const pipeline = this.redis.pipeline()
    const parts: Part[] = []
    for (const runId of runIds) parts.push(...this.#write(pipeline, runId))
    if (parts.length === 0) return []
    const results = await pipeline.exec().catch((error: Error) => parts.map(() => [error] as const))
    const failed = new Set<string>()
    for (const [index, part] of parts.entries()) {
      const [error, result] = results![index] as [Error | null, unknown]
      if (!failed.has(part.runId) && !await this.#confirm(part, error, result)) failed.add(part.runId)
    }
    return [...failed].filter(runId => this.#published.get(runId)?.isFenced === false)
  }

  /** Adds a run's unsent events to a pipeline, each part of them one command. */
  #write (pipeline: ChainableCommander, runId: string): Part[] {
    const published = this.#published.get(runId)
    if (!published || published.isFenced) return []
    const first = firstSeq(published.attempt)
    const parts: Part[] = []
    let from = published.until + 1
    for (const value of toValues(this.entries(runId), from - first)) {
      const until = from + value.length - 1
      // A stream that is there no more is not begun in its middle.
      const mayBegin = from === first
      pipeline.xadd(streamKey(runId), ...(mayBegin ? [] : ['NOMKSTREAM']), 'MAXLEN', '~', MAX_LENGTH, `${until}-0`, 'e', value.json)
      parts.push({ runId, until })
      if (mayBegin && published.attempt > 1) {
        pipeline.xtrim(streamKey(runId), 'MINID', first)
        parts.push({ runId })
      }
      from = until + 1
    }
    const isEnded = this.hasEnded(runId)
    if (parts.length > 0 && (isEnded || Date.now() > published.expires)) {
      pipeline.expire(streamKey(runId), isEnded ? KEEP_ENDED_SECONDS : KEEP_SECONDS)
      parts.push({ runId })
      published.expires = Date.now() + RENEW_MS
    }
    return parts
  }

  /** Notes what became of a part; false: it has to be sent again. */
  async #confirm (part: Part, error: Error | null, result: unknown): Promise<boolean> {
    const published = this.#published.get(part.runId)
    if (!published || part.until === undefined) return true
    if (error?.message.includes('equal or smaller')) return this.#catchUp(part.runId, published)
    if (error) return false
    if (result === null) {
      // Redis has lost the stream: it is written again from its beginning.
      this.#publish(part.runId, published.attempt)
      return false
    }
    published.until = part.until
    return true
  }

  /** The stream is ahead: either what was sent had arrived, or another attempt goes on with the run. */
  async #catchUp (runId: string, published: Published): Promise<boolean> {
    const last = await this.redis.xrevrange(streamKey(runId), '+', '-', 'COUNT', 1).catch(() => undefined)
    if (!last) return false
    const top = Number(last[0]?.[0].split('-')[0] ?? 0)
    if (attemptOf(top) > published.attempt) published.isFenced = true
    else published.until = Math.max(published.until, Math.min(top, this.last(runId) ?? top))
    return false
  }
}

/** One command: `until` is the number of the last event it adds, where it adds any. */
interface Part { readonly runId: string, readonly until?: number }

/** Events from a place in the log on, in pieces that Redis takes well. */
function * toValues (entries: readonly Entry[], from: number): Generator<{ json: string, length: number }> {
  let events: string[] = []
  let size = 0
  for (const { event } of entries.slice(from)) {
    const json = JSON.stringify(event)
    if (size > 0 && size + json.length > MAX_ENTRY) {
      yield { json: `[${events.join()}]`, length: events.length }
      events = []
      size = 0
    }
    events.push(json)
    size += json.length
  }
  if (events.length > 0) yield { json: `[${events.join()}]`, length: events.length }
}

/** The events of an entry with their numbers. */
function number ({ number: last, value }: StreamEntry): Array<{ seq: number, event: RunEvent }> {
  const events = JSON.parse(value) as RunEvent[]
  return events.map((event, index) => ({ seq: last - events.length + 1 + index, event }))
}
