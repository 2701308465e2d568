import type { RunEvent } from '#shared/schemas.ts'

/** An event with its number, and its encodings, which all readers share. */
export interface Entry {
  /** Rises by one within an attempt; an attempt begins at `firstSeq(attempt)`. */
  readonly seq: number
  readonly event: RunEvent
  /** The encodings requested so far, as a linked list: usually one. */
  frame?: Frame
}

interface Frame { readonly encode: Encoder, readonly bytes: Bytes, readonly next?: Frame }

/** What is written to a socket. A string holds one byte per character (Latin-1): Node.js writes it without a Buffer. */
export type Bytes = string | Buffer

/** Encodes an event in a format, such as SSE. Frames are cached by function, so the function must be pure. */
export type Encoder = (seq: number, event: RunEvent, runId: string) => Bytes

/** Is notified of changes to a run in a log. */
export interface Subscriber {
  /** There may be entries to read. */
  wake (): void
  /** The run's events are about to be lost: evicted, or replaced by those of a later attempt. They can be read once more. */
  replacing (): void
  /** The log has evicted the run: another process continues it, or the log needs the memory. */
  evicted (): void
}

/** The events of runs, in order, for readers that come at any time. */
export interface EventLog {
  /** Starts the record of an attempt that this process executes. It replaces the record of an earlier attempt. */
  open (runId: string, attempt: number): void
  /** Appends an event of a run that this process executes, and wakes the subscribers. */
  append (runId: string, event: RunEvent): Entry
  /**
   * Adds events of a run that another process executes or has executed. Known events are skipped. All are ignored if
   * they would leave a gap, if they belong to an earlier attempt, or if this process executes the run.
   * @param first the number of the first of the events.
   */
  ingest (runId: string, first: number, events: readonly RunEvent[]): void
  /** The first entry after event `after`; undefined if there is none yet. */
  next (runId: string, after: number): Entry | undefined
  /** The number of the run's last event; undefined if the log holds none. */
  last (runId: string): number | undefined
  /** Whether the run's final event is in the log. */
  hasEnded (runId: string): boolean
  /** The entries after event `after` (default: all of them) that this process holds, in order. */
  entries (runId: string, after?: number): readonly Entry[]
  /** The response text of the events after event `after` that this process holds, without rewound text. */
  textAfter (runId: string, after?: number): string
  /** The events of the latest attempt at a run that no process makes, as far as they are kept. Rejects if they cannot be read. */
  readLatest (runId: string): Promise<ReadonlyArray<Pick<Entry, 'seq' | 'event'>>>
  /**
   * The text of an unfinished run so far, whichever process makes it. Rejects if it cannot be read.
   * @param characters the beginning alone, of so many characters.
   */
  readText (runId: string, characters?: number): Promise<string>
  /** Removes a run, and notifies its subscribers. */
  evict (runId: string): void
  /** Removes a run that this process has not ended: others, and their readers, may need what was emitted until it is made anew. */
  leave (runId: string): void
  subscribe (runId: string, subscriber: Subscriber): void
  /** Does nothing if the subscriber has not subscribed. */
  unsubscribe (runId: string, subscriber: Subscriber): void
  /** Whether somebody follows a run, here or, as far as this process is told, at another one. */
  isFollowed (runId: string): boolean
  /** The runs with subscribers here that this process does not execute and whose end is not known here. */
  remoteRuns (): string[]
  close (): void | Promise<void>
}

/**
 * Encodes an entry, once per format. The encodings live until the next event is appended: readers that keep up share them,
 * and a log of many runs does not hold its events twice.
 */
export function frameOf (entry: Entry, encode: Encoder, runId: string): Bytes {
  for (let frame = entry.frame; frame; frame = frame.next) if (frame.encode === encode) return frame.bytes
  const bytes = encode(entry.seq, entry.event, runId)
  entry.frame = { encode, bytes, next: entry.frame }
  return bytes
}
