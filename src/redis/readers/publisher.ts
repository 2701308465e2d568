import { attemptOf } from '#shared/event-number.ts'
import type { Redis } from 'ioredis'
import type { EventLog } from '../../executor/events/event-log.js'
import { firstCharacters } from '../../lib/characters.js'
import { inboxKey } from '../keys.js'
import type { Inbox } from './inbox.js'
import type { Ask, Message, Seek, Want } from './messages.js'
import { OutgoingFeed } from './outgoing-feed.js'

/** How long events wait for others to be sent with them; this adds to the latency of readers at other processes. */
const FLUSH_MS = 3
/** The same while many runs have events to be sent: a message costs Redis and both processes more than what is in it. */
const BUSY_FLUSH_MS = 6
const MANY_RUNS = 16
/** How long a want holds unless it is repeated. */
const WANT_MS = 3_000
const SWEEP_MS = 1_000

/** The log of this process, as others read it. */
export interface OwnLog extends Pick<EventLog, 'next' | 'last' | 'textAfter'> {
  /** Whether this process makes the run or has made it, and still has its events. */
  isOwn (runId: string): boolean
}

/**
 * Sends the events of this process's runs to the inboxes of processes that want them, those of all runs in one message. It has no
 * buffer: it sends from the log what lies beyond a cursor. What is lost on the way the reader asks for again.
 */
export class EventPublisher {
  /** By the process that reads. */
  readonly #feeds = new Map<string, OutgoingFeed>()
  /** The same by run. */
  readonly #feedsOf = new Map<string, Set<OutgoingFeed>>()
  /** Runs that are sought, with those who seek them and how long; this process may be about to take them over. */
  readonly #sought = new Map<string, Map<string, number>>()
  readonly #sweep: NodeJS.Timeout
  #timer: NodeJS.Timeout | undefined
  /** Whether many runs had events at the last flush. */
  #isBusy = false
  #flushing: Promise<void> | undefined
  #isClosed = false

  constructor (private readonly redis: Pick<Redis, 'pipeline'>, private readonly inbox: Inbox, private readonly log: OwnLog) {
    this.#sweep = setInterval(() => this.#forget(performance.now()), SWEEP_MS).unref()
  }

  /** A run is made here from now on. */
  open (runId: string, attempt: number): void {
    const seekers = this.#sought.get(runId)
    if (seekers) for (const reader of seekers.keys()) this.#say(reader, { kind: 'here', from: this.inbox.name, runs: [[runId, attempt]] })
    this.schedule(runId)
  }

  /** A run has a new event, or will have it in this tick: sends it soon where it is wanted. */
  schedule (runId: string): void {
    const feeds = this.#feedsOf.get(runId)
    if (!feeds) return
    for (const feed of feeds) feed.schedule(runId)
    this.#wait()
  }

  /** Whether a process wants events of a run that it has not been sent. */
  hasUnsent (runId: string): boolean {
    return [...this.#feedsOf.get(runId) ?? []].some(feed => feed.hasUnsent(runId))
  }

  /** Whether another process wants the run's events. */
  isWanted (runId: string): boolean { return this.#feedsOf.has(runId) }

  /** The run is not in the log any more. */
  evict (runId: string): void {
    for (const feed of this.#feedsOf.get(runId) ?? []) feed.dropGone(runId)
    this.#feedsOf.delete(runId)
    this.#wait()
  }

  take (message: Message): void {
    if (message.kind === 'want') this.#want(message)
    if (message.kind === 'seek') this.#seek(message)
    if (message.kind === 'ask') this.#answer(message)
  }

  /** Sends what is left, as far as readers keep up. */
  async close (): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#sweep)
    clearTimeout(this.#timer)
    await this.#flushing
    await this.#flush()
  }

  #want (want: Want): void {
    const feed = this.#feedOf(want)
    if (!feed) return this.#say(want.from, { kind: 'unknown', from: this.inbox.name, feed: want.feed })
    feed.revision = want.revision
    feed.received = want.received
    feed.until = performance.now() + WANT_MS
    for (const [runId, after] of want.add) this.#add(feed, runId, after)
    for (const runId of want.drop) this.#drop(feed, runId)
    if (feed.isDue) this.#flushNow()
  }

  /** The feed that a message is about; undefined if something of it was lost. */
  #feedOf (want: Want): OutgoingFeed | undefined {
    const known = this.#feeds.get(want.from)
    if (!want.isAll) {
      const changes = want.add.length + want.drop.length > 0 ? 1 : 0
      return known?.name === want.feed && known.revision + changes === want.revision ? known : undefined
    }
    if (known) this.#end(known)
    const feed = new OutgoingFeed(this.log, this.inbox.name, want.from, want.feed)
    this.#feeds.set(want.from, feed)
    return feed
  }

  #add (feed: OutgoingFeed, runId: string, after: number): void {
    if (!this.log.isOwn(runId)) return feed.dropGone(runId)
    feed.add(runId, after)
    const feeds = this.#feedsOf.get(runId)
    if (feeds) feeds.add(feed)
    else this.#feedsOf.set(runId, new Set([feed]))
  }

  #drop (feed: OutgoingFeed, runId: string): void {
    feed.drop(runId)
    const feeds = this.#feedsOf.get(runId)
    feeds?.delete(feed)
    if (feeds?.size === 0) this.#feedsOf.delete(runId)
  }

  #end (feed: OutgoingFeed): void {
    for (const runId of [...feed.runIds]) this.#drop(feed, runId)
    if (this.#feeds.get(feed.reader) === feed) this.#feeds.delete(feed.reader)
  }

  #seek ({ from, runs }: Seek): void {
    if (from === this.inbox.name) return
    const until = performance.now() + WANT_MS
    const here: Array<readonly [string, number]> = []
    for (const runId of runs) {
      if (this.log.isOwn(runId)) here.push([runId, attemptOf(this.log.last(runId) ?? 1)])
      else this.#sought.set(runId, (this.#sought.get(runId) ?? new Map<string, number>()).set(from, until))
    }
    if (here.length > 0) this.#say(from, { kind: 'here', from: this.inbox.name, runs: here })
  }

  #answer ({ from, id, runs, characters }: Ask): void {
    const own = runs.filter(runId => this.log.isOwn(runId))
    const texts = own.map(runId => [runId, firstCharacters(this.log.textAfter(runId), characters)])
    this.#say(from, { kind: 'answer', from: this.inbox.name, id, texts: Object.fromEntries(texts) })
  }

  /** What is not said the other process asks for again. */
  #say (to: string, message: Message): void {
    this.inbox.send(to, message).catch(() => {})
  }

  #wait (): void {
    if (!this.#flushing && !this.#isClosed) this.#timer ??= setTimeout(() => this.#flushNow(), this.#isBusy ? BUSY_FLUSH_MS : FLUSH_MS)
  }

  #flushNow (): void {
    if (this.#flushing || this.#isClosed) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#flushing = this.#flush().then(() => {
      this.#flushing = undefined
      if ([...this.#feeds.values()].some(({ isDue }) => isDue)) this.#wait()
    })
  }

  /** Sends what is wanted, in one pipeline. A feed of which something may be lost ends: its reader begins another. */
  async #flush (): Promise<void> {
    this.#isBusy = [...this.#feeds.values()].reduce((runs, { waiting }) => runs + waiting, 0) >= MANY_RUNS
    const pipeline = this.redis.pipeline()
    const sent = [...this.#feeds.values()].flatMap(feed => feed.takeFrames().map(frame => {
      pipeline.publish(inboxKey(feed.reader), frame)
      return feed
    }))
    if (sent.length === 0) return
    const results = await pipeline.exec().catch(() => null)
    for (const [index, feed] of sent.entries()) {
      const [error, listeners] = results?.[index] ?? [new Error('Redis is away')]
      if (error || listeners === 0) this.#end(feed)
    }
  }

  #forget (now: number): void {
    for (const feed of [...this.#feeds.values()]) if (feed.until < now) this.#end(feed)
    for (const [runId, seekers] of this.#sought) {
      for (const [reader, until] of seekers) if (until < now) seekers.delete(reader)
      if (seekers.size === 0) this.#sought.delete(runId)
    }
  }
}
