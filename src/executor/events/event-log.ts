import type { RunEvent } from '#shared/schemas.ts'

/** An event in its place within its run, with what it looks like in each format, made once for all readers. */
export interface Entry {
  /** Rises by one within an attempt; see `firstSeq`. */
  readonly seq: number
  readonly event: RunEvent
  /** The formats it was asked for in, the last one first; one, as a rule. */
  frame?: Frame
}

interface Frame { readonly encode: Encoder, readonly bytes: Bytes, readonly next?: Frame }

/** What goes to a socket. A string is one of bytes (Latin-1), which Node.js writes without making a buffer of it. */
export type Bytes = string | Buffer

export type Encoder = (seq: number, event: RunEvent, runId: string) => Bytes

/** Who wants to know what becomes of a run. */
export interface Subscriber {
  /** There may be something to read. */
  wake (): void
  /** The log has let go of the run: it goes on elsewhere, or there was no more room for it. */
  evicted (): void
}

/** What is told of each run, in order, for as long as somebody may ask. */
export interface EventLog {
  /** Begins the record of an attempt at a run that is made here, in place of what was known of an earlier one. */
  open (runId: string, attempt: number): void
  /** Adds an event of a run that is made here, and wakes its readers. */
  append (runId: string, event: RunEvent): Entry
  /**
   * Takes on what is known of a run that is made elsewhere, or was; what is known already is left out, and what does
   * not follow on it is not taken.
   * @param first the number of the first of the events.
   */
  ingest (runId: string, first: number, events: readonly RunEvent[]): void
  /** The first entry after `after`, if there is one yet. */
  next (runId: string, after: number): Entry | undefined
  /** The number of the run's last event; undefined where the log knows nothing of the run. */
  last (runId: string): number | undefined
  /** Whether the run has told its last event. */
  hasEnded (runId: string): boolean
  /** The entries after `after` that are known here of a run, in order; all of them unless told otherwise. */
  entries (runId: string, after?: number): readonly Entry[]
  /** The response so far, as far as it is known here: the texts of the events after `after` that were not taken back. */
  textAfter (runId: string, after?: number): string
  /** What was told of the latest attempt at a run, here or elsewhere. May reject. */
  readLatest (runId: string): Promise<ReadonlyArray<Pick<Entry, 'seq' | 'event'>>>
  /** Lets go of a run; its readers are told. */
  evict (runId: string): void
  subscribe (runId: string, subscriber: Subscriber): void
  /** Again, or of one that has not subscribed: nothing happens. */
  unsubscribe (runId: string, subscriber: Subscriber): void
  /** Runs that are followed here and are not made here: how they end may have to be asked for. */
  remoteRuns (): string[]
  close (): void
}

/** Someone who is told a run's events. */
export interface Reader {
  /** Takes an entry; false: no more for now, `resume()` will be called. */
  write (entry: Entry): boolean
  /** There is nothing more to come. */
  end (): void
  /** The run goes on elsewhere, from `after`. */
  moved (after: number): void
}

export interface Follower {
  /** The reader has room again. */
  resume (): void
  /** The reader is gone. */
  stop (): void
  /** The last event written to the reader. */
  readonly cursor: number
}

/**
 * An entry in a format, encoded at its first use. That is kept until the next event: readers that keep pace share it, and
 * a log of many runs holds its events once.
 */
export function frameOf (entry: Entry, encode: Encoder, runId: string): Bytes {
  for (let frame = entry.frame; frame; frame = frame.next) if (frame.encode === encode) return frame.bytes
  const bytes = encode(entry.seq, entry.event, runId)
  entry.frame = { encode, bytes, next: entry.frame }
  return bytes
}

/** Tells a reader what happened after event `after`, and goes on with what happens. */
export function follow (log: EventLog, runId: string, after: number, reader: Reader): Follower {
  return new Subscription(log, runId, after, reader)
}

/** A reader on its way: a cursor and no buffer; what it has no room for stays in the log. */
class Subscription implements Follower, Subscriber {
  #cursor: number
  #isFull = false
  #hasStopped = false

  constructor (private readonly log: EventLog, private readonly runId: string, after: number, private readonly reader: Reader) {
    this.#cursor = after
    // Before the first read, so that nothing falls between backlog and live.
    log.subscribe(runId, this)
    this.wake()
  }

  get cursor (): number { return this.#cursor }

  wake (): void {
    for (let entry = this.#peek(); entry; entry = this.#peek()) {
      this.#cursor = entry.seq
      this.#isFull = !this.reader.write(entry)
    }
    if (!this.#hasStopped && this.#hasAll()) {
      this.stop()
      this.reader.end()
    }
  }

  resume (): void {
    this.#isFull = false
    this.wake()
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

  /** The reader's own code may stop this, and fill itself. */
  #peek (): Entry | undefined {
    return this.#isFull || this.#hasStopped ? undefined : this.log.next(this.runId, this.#cursor)
  }

  /** Whether the run has ended, and the reader heard of it. */
  #hasAll (): boolean {
    const last = this.log.last(this.runId)
    return last !== undefined && this.#cursor >= last && this.log.hasEnded(this.runId)
  }
}

/** Tells a run that waits how near its turn is. */
export function emitPosition (log: EventLog, runId: string): (position: number) => void {
  return position => { log.append(runId, { type: 'queued', runId, position }) }
}
