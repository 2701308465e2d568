import { randomUUID } from 'node:crypto'
import type { Inbox } from './inbox.js'
import { type Message, toPart, type Told, type Want, WINDOW } from './messages.js'

export interface WantsOptions {
  /** The number of the last event of a run that is known here; 0 if none is. */
  lastOf (runId: string): number
  onTold (told: Told): void
  /** A process is not there any more, of which these runs were wanted. */
  onLost (owner: string, runIds: string[]): void
}

/** What this process wants of another one. */
interface IncomingFeed {
  readonly owner: string
  readonly name: string
  readonly runs: Set<string>
  /** The runs that the other process is to be told of: wanted anew, or no longer. */
  readonly changed: Set<string>
  revision: number
  /** The number of the last message that has arrived. */
  number: number
  /** How many characters have arrived, and of how many the other process knows. */
  received: number
  confirmed: number
  /** The beginning of a message of which not all has arrived. */
  parts: string[]
}

/**
 * Tells other processes what is wanted of them, all runs of one process in one message, however many readers they have. Nothing
 * arrives twice or not at all as far as these two can see: where something may be lost, a new feed begins.
 */
export class Wants {
  /** By the process that makes the runs. */
  readonly #feeds = new Map<string, IncomingFeed>()
  readonly #byName = new Map<string, IncomingFeed>()
  readonly #changed = new Set<string>()
  #flush: NodeJS.Immediate | undefined

  constructor (private readonly inbox: Inbox, private readonly options: WantsOptions) {}

  /** Wants a run from the event on that is not known here. */
  add (owner: string, runId: string): void {
    const feed = this.#feeds.get(owner) ?? this.#open(owner, [])
    feed.runs.add(runId)
    this.#change(feed, runId)
  }

  drop (owner: string, runId: string): void {
    const feed = this.#feeds.get(owner)
    if (feed?.runs.delete(runId)) this.#change(feed, runId)
  }

  /** Repeats what is wanted, and forgets processes of which nothing is. */
  renew (): void {
    for (const feed of [...this.#feeds.values()]) {
      if (feed.runs.size > 0) this.#send(feed)
      else this.#close(feed)
    }
  }

  /** Something may be lost of what all processes have sent: begins anew. */
  restartAll (): void {
    for (const { owner } of [...this.#feeds.values()]) this.#restart(owner)
  }

  /** Takes a frame that is a part of a message. Returns false for other frames. */
  takePart (frame: string): boolean {
    const part = toPart(frame)
    if (!part) return false
    const feed = this.#byName.get(part.feed)
    if (!feed) return true
    feed.parts.push(part.text)
    this.#receive(feed, frame.length)
    if (part.total === undefined) return true
    const text = feed.parts.splice(0).join('')
    if (text.length === part.total) this.take(JSON.parse(text) as Message, 0)
    else this.#restart(feed.owner)
    return true
  }

  /** @param size how many characters its frame has. */
  take (message: Message, size: number): void {
    if (message.kind === 'unknown' && this.#byName.has(message.feed)) this.#restart(message.from)
    if (message.kind !== 'told') return
    const feed = this.#byName.get(message.feed)
    if (!feed) return
    if (message.number !== feed.number + 1) return this.#restart(feed.owner)
    feed.number++
    this.options.onTold(message)
    this.#receive(feed, size)
  }

  close (): void {
    clearImmediate(this.#flush)
    this.#feeds.clear()
    this.#byName.clear()
  }

  #receive (feed: IncomingFeed, size: number): void {
    if (this.#byName.get(feed.name) !== feed) return
    feed.received += size
    if (feed.received - feed.confirmed >= WINDOW / 4) this.#send(feed)
  }

  #open (owner: string, runs: Iterable<string>): IncomingFeed {
    const feed = { owner, name: randomUUID(), runs: new Set(runs), changed: new Set<string>(), revision: 0, number: 0, received: 0, confirmed: 0, parts: [] }
    this.#feeds.set(owner, feed)
    this.#byName.set(feed.name, feed)
    return feed
  }

  #close ({ owner, name }: IncomingFeed): void {
    this.#byName.delete(name)
    if (this.#feeds.get(owner)?.name === name) this.#feeds.delete(owner)
  }

  #restart (owner: string): void {
    const feed = this.#feeds.get(owner)
    if (!feed) return
    const next = this.#reopen(feed)
    if (next) this.#change(next)
  }

  #reopen (feed: IncomingFeed): IncomingFeed | undefined {
    if (this.#byName.get(feed.name) !== feed) return undefined
    this.#close(feed)
    return feed.runs.size > 0 ? this.#open(feed.owner, feed.runs) : undefined
  }

  /** Says it with other changes of this tick. */
  #change (feed: IncomingFeed, runId?: string): void {
    if (runId !== undefined) feed.changed.add(runId)
    this.#changed.add(feed.owner)
    this.#flush ??= setImmediate(() => {
      this.#flush = undefined
      for (const owner of this.#changed) {
        const feed = this.#feeds.get(owner)
        if (feed) this.#send(feed)
      }
      this.#changed.clear()
    })
  }

  async #send (feed: IncomingFeed): Promise<void> {
    const want = this.#toMessage(feed)
    try {
      if (await this.inbox.send(feed.owner, want)) return
      if (this.#feeds.get(feed.owner) !== feed) return
      this.#close(feed)
      this.options.onLost(feed.owner, [...feed.runs])
    } catch {
      // Whether it has arrived is not known: a new feed begins when it is renewed, and not at once, because Redis may be away.
      this.#reopen(feed)
    }
  }

  #toMessage (feed: IncomingFeed): Want {
    const isAll = feed.revision === 0
    const changed = [...isAll ? feed.runs : feed.changed]
    const wanted = changed.filter(runId => feed.runs.has(runId))
    if (isAll || changed.length > 0) feed.revision++
    feed.changed.clear()
    feed.confirmed = feed.received
    return {
      kind: 'want',
      from: this.inbox.name,
      feed: feed.name,
      revision: feed.revision,
      isAll,
      add: wanted.map(runId => [runId, this.options.lastOf(runId)] as const),
      drop: changed.filter(runId => !feed.runs.has(runId)),
      received: feed.received
    }
  }
}
