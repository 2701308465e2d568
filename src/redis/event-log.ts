import type { Redis } from 'ioredis'
import type { RunEvent } from '#shared/schemas.ts'
import { responseOf } from '#shared/trace.ts'
import type { Entry, EventLog, Subscriber } from '../executor/events/event-log.js'
import { MemoryEventLog, type MemoryEventLogOptions } from '../executor/events/memory-event-log.js'
import { firstCharacters } from '../lib/characters.js'
import type { RedisLink } from './link.js'
import { Inbox } from './readers/inbox.js'
import type { RunRegistry } from './readers/looks.js'
import type { Message } from './readers/messages.js'
import { StreamMirror } from './readers/mirror.js'
import { EventPublisher } from './readers/publisher.js'
import { TextQuestions } from './readers/texts.js'
import { handOver, readLatestAttempt } from './run-stream.js'
import type { StreamReader } from './stream-reader.js'

/** How long the process that makes a run has to tell all of it, for its text. */
const CATCH_UP_MS = 2_000
/** A text that has more characters comes as events, at the pace of those. */
const MAX_ASKED = 256 * 1024

export interface SharedEventLogOptions extends MemoryEventLogOptions {
  /** This process, as the owner of its runs. */
  owner: string
  registry: RunRegistry
}

/**
 * The event log of one process among several. It keeps its events in memory, sends those of its own runs to processes where they
 * have readers, and mirrors the runs of others that have readers here. What nobody reads elsewhere is not sent.
 */
export class SharedEventLog implements EventLog {
  readonly #memory: MemoryEventLog
  readonly #inbox: Inbox
  readonly #publisher: EventPublisher
  readonly #mirror: StreamMirror
  readonly #texts: TextQuestions
  readonly #redis: Redis

  /** @param streams reads the streams of runs that no process makes. */
  constructor (link: Pick<RedisLink, 'commands' | 'openConnection'>, streams: StreamReader, { owner, registry, ...options }: SharedEventLogOptions) {
    this.#redis = link.commands
    this.#memory = new MemoryEventLog(options, {
      mayEvict: runId => !this.#publisher.hasUnsent(runId),
      onEvict: runId => {
        this.#mirror.stop(runId)
        this.#publisher.evict(runId)
      }
    })
    this.#inbox = new Inbox(link, owner)
    this.#publisher = new EventPublisher(link.commands, this.#inbox, this.#memory)
    this.#mirror = new StreamMirror({ inbox: this.#inbox, streams, registry, log: this.#memory })
    this.#texts = new TextQuestions(this.#inbox, registry)
    this.#inbox.on('frame', frame => this.#take(frame))
  }

  open (runId: string, attempt: number): void {
    this.#memory.open(runId, attempt)
    this.#mirror.stop(runId)
    this.#publisher.open(runId, attempt)
  }

  append (runId: string, event: RunEvent): Entry {
    // Before the append, which may evict the run if this is its final event.
    this.#publisher.schedule(runId)
    return this.#memory.append(runId, event)
  }

  ingest (runId: string, first: number, events: readonly RunEvent[]): void {
    this.#memory.ingest(runId, first, events)
    if (this.#memory.hasEnded(runId)) this.#mirror.stop(runId)
  }

  next (runId: string, after: number): Entry | undefined { return this.#memory.next(runId, after) }
  last (runId: string): number | undefined { return this.#memory.last(runId) }
  hasEnded (runId: string): boolean { return this.#memory.hasEnded(runId) }
  entries (runId: string, after?: number): readonly Entry[] { return this.#memory.entries(runId, after) }
  textAfter (runId: string, after?: number): string { return this.#memory.textAfter(runId, after) }
  evict (runId: string): void { this.#memory.evict(runId) }
  remoteRuns (): string[] { return this.#memory.remoteRuns() }

  isFollowed (runId: string): boolean { return this.#memory.isFollowed(runId) || this.#publisher.isWanted(runId) }

  /** What was emitted stays in Redis until another process goes on. */
  leave (runId: string): void {
    handOver(this.#redis, runId, this.#memory.entries(runId))
    this.evict(runId)
  }

  readLatest (runId: string): Promise<Array<Pick<Entry, 'seq' | 'event'>>> {
    return readLatestAttempt(this.#redis, runId)
  }

  async readText (runId: string, characters = Infinity): Promise<string> {
    if (!this.#memory.isRemote(runId)) return this.#memory.readText(runId, characters)
    const limit = Math.min(characters, MAX_ASKED)
    const text = await this.#texts.ask(runId, limit)
    if (text === undefined) return firstCharacters(responseOf(await this.readLatest(runId)), characters)
    return text.length < limit || limit === characters ? text : this.#readWholeText(runId)
  }

  subscribe (runId: string, subscriber: Subscriber): void {
    this.#memory.subscribe(runId, subscriber)
    if (this.#memory.isRemote(runId)) this.#mirror.start(runId)
  }

  unsubscribe (runId: string, subscriber: Subscriber): void {
    this.#memory.unsubscribe(runId, subscriber)
    if (!this.#memory.isFollowed(runId)) this.#mirror.stop(runId)
  }

  async close (): Promise<void> {
    this.#mirror.close()
    this.#texts.close()
    await this.#publisher.close()
    this.#inbox.close()
    this.#memory.close()
  }

  #take (frame: string): void {
    if (this.#mirror.takePart(frame)) return
    const message = readMessage(frame)
    if (!message) return
    if (message.kind === 'answer') this.#texts.take(message)
    this.#publisher.take(message)
    this.#mirror.take(message, frame.length)
  }

  /** Reads a run as a reader does, as far as its process has made it. */
  async #readWholeText (runId: string): Promise<string> {
    const reader: Subscriber = { wake () {}, replacing () {}, evicted () {} }
    this.subscribe(runId, reader)
    await this.#mirror.catchUp(runId, CATCH_UP_MS)
    const text = this.#memory.textAfter(runId)
    this.unsubscribe(runId, reader)
    return text
  }
}

/** Undefined for what is none: a process of another release may say something else. */
function readMessage (frame: string): Message | undefined {
  try {
    return JSON.parse(frame) as Message
  } catch {
    return undefined
  }
}
