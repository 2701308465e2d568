import type { Redis } from 'ioredis'
import type { RunEvent } from '#shared/schemas.ts'
import type { Entry, EventLog, Subscriber } from '../executor/events/event-log.js'
import { MemoryEventLog, type MemoryEventLogOptions } from '../executor/events/memory-event-log.js'
import { StreamMirror } from './mirror.js'
import { StreamPublisher } from './publisher.js'
import { readLatestAttempt } from './run-stream.js'
import type { StreamReader } from './stream-reader.js'

export interface SharedEventLogOptions extends MemoryEventLogOptions {
  /** How long Redis keeps a run's events after its end. */
  keepStreamSeconds: number
}

/**
 * The event log of one process among several. It keeps its events in memory, publishes those of its own runs to Redis, and
 * mirrors the runs of other processes that have readers here. Redis lags behind memory and holds nothing that is needed:
 * what it loses is published again, and what it does not accept stays in memory until it does.
 */
export class SharedEventLog implements EventLog {
  readonly #memory: MemoryEventLog
  readonly #publisher: StreamPublisher
  readonly #mirror: StreamMirror

  /**
   * @param redis the connection for commands.
   * @param streams reads the streams of other processes' runs.
   */
  constructor (private readonly redis: Redis, streams: StreamReader, options: SharedEventLogOptions) {
    this.#memory = new MemoryEventLog(options, {
      // Unpublished events are kept, unless Redis is away and may stay so.
      mayEvict: runId => !this.#publisher.hasUnpublished(runId) || redis.status !== 'ready',
      onEvict: runId => {
        this.#mirror.stop(runId)
        this.#publisher.evict(runId)
      }
    })
    this.#publisher = new StreamPublisher(redis, this.#memory, options.keepStreamSeconds)
    this.#mirror = new StreamMirror(streams, this.#memory)
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

  ingest (runId: string, first: number, events: readonly RunEvent[]): void { this.#memory.ingest(runId, first, events) }
  next (runId: string, after: number): Entry | undefined { return this.#memory.next(runId, after) }
  last (runId: string): number | undefined { return this.#memory.last(runId) }
  hasEnded (runId: string): boolean { return this.#memory.hasEnded(runId) }
  entries (runId: string, after?: number): readonly Entry[] { return this.#memory.entries(runId, after) }
  textAfter (runId: string, after?: number): string { return this.#memory.textAfter(runId, after) }
  evict (runId: string): void { this.#memory.evict(runId) }
  remoteRuns (): string[] { return this.#memory.remoteRuns() }

  /** Reads from Redis, also for a run of this process: the process of an earlier attempt may have emitted events. */
  readLatest (runId: string, maxEntries?: number): Promise<Array<Pick<Entry, 'seq' | 'event'>>> {
    return readLatestAttempt(this.redis, runId, maxEntries)
  }

  subscribe (runId: string, subscriber: Subscriber): void {
    this.#memory.subscribe(runId, subscriber)
    if (this.#memory.isRemote(runId)) this.#mirror.start(runId)
  }

  unsubscribe (runId: string, subscriber: Subscriber): void {
    this.#memory.unsubscribe(runId, subscriber)
    if (!this.#memory.isFollowed(runId)) this.#mirror.stop(runId)
  }

  close (): void {
    this.#publisher.close()
    this.#memory.close()
  }
}
