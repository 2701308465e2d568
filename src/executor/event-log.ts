import type { FinalEvent, RunEvent } from '../schemas.js'

/** An event in its place within its run, with what it looks like in each format, made once for all readers. */
export interface Entry {
  /** 1, 2, 3 … within the run. */
  readonly seq: number
  readonly event: RunEvent
  readonly frames: Map<Encoder, string>
}

export type Encoder = (seq: number, event: RunEvent, runId: string) => string

/** What is told of each run, in order, for as long as somebody may ask. */
export interface EventLog {
  /** Adds an event and wakes the run's readers. */
  append (runId: string, event: RunEvent): Entry
  /** The entry that follows `after`, if there is one yet. */
  next (runId: string, after: number): Entry | undefined
  /** The number of the run's last event; undefined where the log knows nothing of the run. */
  last (runId: string): number | undefined
  /** Calls `wake` after each append, until the returned function is called. */
  subscribe (runId: string, wake: () => void): () => void
  close (): void
}

/** Someone who is told a run's events. */
export interface Reader {
  /** Takes an entry; false: no more for now, `resume()` will be called. */
  write (entry: Entry): boolean
  /** The run's last event has been written. */
  end (): void
}

export interface Follower {
  /** The reader has room again. */
  resume (): void
  /** The reader is gone. */
  stop (): void
  /** The last event written to the reader. */
  readonly cursor: number
}

export function isFinal (event: RunEvent): event is FinalEvent {
  return event.type === 'done' || event.type === 'error' || event.type === 'cancelled'
}

/** An entry in a format, encoded at its first use. */
export function frameOf (entry: Entry, encode: Encoder, runId: string): string {
  let frame = entry.frames.get(encode)
  if (frame === undefined) {
    frame = encode(entry.seq, entry.event, runId)
    entry.frames.set(encode, frame)
  }
  return frame
}

/**
 * Tells a reader what happened after event `after`, and goes on with what happens. A reader is a cursor and no
 * buffer: what it has no room for stays in the log.
 */
export function follow (log: EventLog, runId: string, after: number, reader: Reader): Follower {
  let cursor = after
  let full = false
  let stopped = false
  // Subscribed before the first read, so that nothing falls between backlog and live.
  const unsubscribe = log.subscribe(runId, pump)
  pump()

  function pump (): void {
    // Not while `stopped` or `full`, which the reader's own code may set.
    for (let entry = peek(); entry; entry = peek()) {
      cursor = entry.seq
      full = !reader.write(entry)
      if (isFinal(entry.event)) return finish()
    }
  }

  function peek (): Entry | undefined {
    return full || stopped ? undefined : log.next(runId, cursor)
  }

  function finish (): void {
    stop()
    reader.end()
  }

  function stop (): void {
    stopped = true
    unsubscribe()
  }

  return {
    resume () {
      full = false
      pump()
    },
    stop,
    get cursor () { return cursor }
  }
}

/** What an entry weighs beside its text: its object, its frames' headers, its place in the list. */
const ENTRY_OVERHEAD = 200

interface RunRecord {
  readonly entries: Entry[]
  readonly wakes: Set<() => void>
  bytes: number
}

export interface MemoryEventLogOptions {
  /** How much all runs together may hold before finished ones are forgotten, oldest first. */
  maxBytes: number
  /** How long a finished run is remembered at the most, in milliseconds. */
  keepMs: number
}

/** The log of one process. */
export class MemoryEventLog implements EventLog {
  #runs = new Map<string, RunRecord>()
  /** Finished runs in the order they ended, with when that was. */
  #finished = new Map<string, number>()
  #bytes = 0
  #sweep: NodeJS.Timeout

  constructor (private readonly options: MemoryEventLogOptions) {
    this.#sweep = setInterval(() => this.#forget(), Math.max(1000, options.keepMs / 10)).unref()
  }

  append (runId: string, event: RunEvent): Entry {
    const run = this.#open(runId)
    const entry: Entry = { seq: run.entries.length + 1, event, frames: new Map() }
    run.entries.push(entry)
    const bytes = ENTRY_OVERHEAD + weightOf(event)
    run.bytes += bytes
    this.#bytes += bytes
    for (const wake of run.wakes) wake()
    if (isFinal(event)) {
      this.#finished.set(runId, Date.now())
      this.#forget()
    }
    return entry
  }

  next (runId: string, after: number): Entry | undefined {
    return this.#runs.get(runId)?.entries[after]
  }

  last (runId: string): number | undefined {
    return this.#runs.get(runId)?.entries.length
  }

  subscribe (runId: string, wake: () => void): () => void {
    const run = this.#open(runId)
    run.wakes.add(wake)
    return () => {
      run.wakes.delete(wake)
      if (run.wakes.size === 0 && run.entries.length === 0) this.#runs.delete(runId)
    }
  }

  close (): void {
    clearInterval(this.#sweep)
    this.#runs.clear()
  }

  #open (runId: string): RunRecord {
    let run = this.#runs.get(runId)
    if (!run) {
      run = { entries: [], wakes: new Set(), bytes: 0 }
      this.#runs.set(runId, run)
    }
    return run
  }

  #forget (): void {
    const tooOld = Date.now() - this.options.keepMs
    for (const [runId, endedAt] of this.#finished) {
      if (this.#bytes <= this.options.maxBytes && endedAt > tooOld) return
      // A reader who is still behind keeps its run: what it has not been sent exists nowhere else.
      const run = this.#runs.get(runId)!
      if (run.wakes.size > 0) continue
      this.#bytes -= run.bytes
      this.#runs.delete(runId)
      this.#finished.delete(runId)
    }
  }
}

function weightOf (event: RunEvent): number {
  if ('content' in event) return event.content.length * 2
  if (event.type === 'done') return event.response.length * 2
  return 0
}
