import type { Entry, EventLog, Subscriber } from './event-log.js'

/** A consumer of a run's events, such as an HTTP connection. */
export interface Reader {
  /** Takes an entry. Returns false if it has no room for another one until `Follower.resume()` is called. */
  write (entry: Entry): boolean
  /** The events up to `cursor`, which were written, are about to be lost. They can be read from the log once more. */
  replacing? (cursor: number): void
  /** The run has ended, and its last event has been written. */
  end (): void
  /** The log has evicted the run: the reader can resume after event `after`, here or at another process. */
  moved (after: number): void
}

/** The handle of a reader that follows a run. */
export interface Follower {
  /** The reader has room again. */
  resume (): void
  /** Stops following; nothing more is written to the reader. Idempotent. */
  stop (): void
  /** The number of the last event that was written to the reader. */
  readonly cursor: number
}

/**
 * Writes a run's events after event `after` to a reader: first those in the log, then each as it is appended, until the
 * run ends, the log evicts it, or the follower is stopped.
 */
export function follow (log: EventLog, runId: string, after: number, reader: Reader): Follower {
  return new Subscription(log, runId, after, reader)
}

/** A reader's position in a log. It is a cursor without a buffer: events that the reader has no room for stay in the log. */
class Subscription implements Follower, Subscriber {
  #cursor: number
  #isFull = false
  #hasStopped = false

  constructor (private readonly log: EventLog, private readonly runId: string, after: number, private readonly reader: Reader) {
    this.#cursor = after
    // Subscribing before the first read leaves no gap between the backlog and the live events.
    log.subscribe(runId, this)
    this.wake()
  }

  get cursor (): number { return this.#cursor }

  wake (): void {
    for (let entry = this.#peek(); entry; entry = this.#peek()) {
      this.#cursor = entry.seq
      this.#isFull = !this.reader.write(entry)
    }
    if (!this.#hasStopped && this.#isAtEnd()) {
      this.stop()
      this.reader.end()
    }
  }

  resume (): void {
    this.#isFull = false
    this.wake()
  }

  replacing (): void {
    if (!this.#hasStopped) this.reader.replacing?.(this.#cursor)
  }

  evicted (): void {
    if (this.#hasStopped) return
    this.stop()
    this.reader.moved(this.#cursor)
  }

  stop (): void {
    this.#hasStopped = true
    this.log.unsubscribe(this.runId, this)
  }

  /** The next entry to write. The flags are checked each time because `write` may fill or stop this subscription. */
  #peek (): Entry | undefined {
    return this.#isFull || this.#hasStopped ? undefined : this.log.next(this.runId, this.#cursor)
  }

  /** Whether the run has ended and its last event was written. */
  #isAtEnd (): boolean {
    const last = this.log.last(this.runId)
    return last !== undefined && this.#cursor >= last && this.log.hasEnded(this.runId)
  }
}
