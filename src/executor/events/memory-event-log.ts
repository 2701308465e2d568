import { attemptOf, firstSeq } from '#shared/event-number.ts'
import { isFinal } from '#shared/final-event.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { firstCharacters } from '../../lib/characters.js'
import type { Entry, EventLog, Subscriber } from './event-log.js'
import { Transcript } from './transcript.js'

interface RunRecord {
  /** Whether this process executes the run, rather than knowing it from `ingest` or from its subscribers only. */
  isOwn: boolean
  hasEnded: boolean
  transcript: Transcript
  readonly subscribers: Set<Subscriber>
}

export interface MemoryEventLogOptions {
  /** How many bytes all runs together may take before ended runs are evicted, oldest first. */
  maxBytes: number
  /** How long a run is kept after its end, in milliseconds, at the most. */
  keepMs: number
}

/** What a log built on this one may add. */
export interface MemoryEventLogHooks {
  /** Whether an ended run may be evicted to free memory, or must be kept for now. */
  mayEvict (runId: string): boolean
  /** A run is about to be removed, for whatever reason. */
  onEvict (runId: string): void
}

/** The event log of a single process, in memory. */
export class MemoryEventLog implements EventLog {
  #runs = new Map<string, RunRecord>()
  /** The record that was looked up last: to append and deliver one event looks up the same run several times. */
  #recent: { runId: string, run: RunRecord } | undefined
  /** Ended runs in the order of their ends, with the time of the end. */
  #ended = new Map<string, number>()
  #bytes = 0
  #sweep: NodeJS.Timeout

  constructor (private readonly options: MemoryEventLogOptions, private readonly hooks?: MemoryEventLogHooks) {
    this.#sweep = setInterval(() => this.#makeRoom(), Math.max(1000, options.keepMs / 10)).unref()
  }

  open (runId: string, attempt: number): void {
    const run = this.#find(runId)
    this.#restart(runId, run, attempt)
    run.isOwn = true
  }

  append (runId: string, event: RunEvent): Entry {
    const run = this.#find(runId)
    run.isOwn = true
    const entry = this.#push(runId, run, event)
    this.#wake(run)
    return entry
  }

  ingest (runId: string, first: number, events: readonly RunEvent[]): void {
    const run = this.#find(runId)
    if (run.isOwn || attemptOf(first) < attemptOf(run.transcript.first)) return
    if (run.transcript.length === 0 || attemptOf(first) > attemptOf(run.transcript.first)) this.#restart(runId, run, attemptOf(first))
    const known = run.transcript.first + run.transcript.length - first
    if (known < 0) return
    for (const event of events.slice(known)) this.#push(runId, run, event)
    this.#wake(run)
  }

  #restart (runId: string, run: RunRecord, attempt: number): void {
    for (const subscriber of run.subscribers) subscriber.replacing()
    this.#bytes -= run.transcript.weight
    run.transcript = new Transcript(firstSeq(attempt))
    run.hasEnded = false
    this.#ended.delete(runId)
  }

  #push (runId: string, run: RunRecord, event: RunEvent): Entry {
    const before = run.transcript.weight
    const entry = run.transcript.push(event)
    this.#bytes += run.transcript.weight - before
    if (isFinal(event)) {
      run.hasEnded = true
      this.#ended.set(runId, Date.now())
    }
    return entry
  }

  #wake (run: RunRecord): void {
    for (const subscriber of run.subscribers) subscriber.wake()
    if (!run.hasEnded) return
    run.transcript.dropFrames()
    this.#makeRoom()
  }

  next (runId: string, after: number): Entry | undefined {
    const run = this.#get(runId)
    return run?.transcript.at(Math.max(0, after - run.transcript.first + 1))
  }

  last (runId: string): number | undefined {
    return this.#get(runId)?.transcript.last?.seq
  }

  hasEnded (runId: string): boolean {
    return this.#get(runId)?.hasEnded ?? false
  }

  entries (runId: string, after = 0): readonly Entry[] {
    const transcript = this.#runs.get(runId)?.transcript
    return transcript?.from(Math.max(0, after - transcript.first + 1)) ?? []
  }

  textAfter (runId: string, after = 0): string {
    const transcript = this.#get(runId)?.transcript
    return transcript?.textFrom(Math.max(0, after - transcript.first + 1)) ?? ''
  }

  async readLatest (runId: string): Promise<ReadonlyArray<Pick<Entry, 'seq' | 'event'>>> {
    return this.entries(runId)
  }

  async readText (runId: string, characters = Infinity): Promise<string> {
    const text = this.textAfter(runId)
    return text.length > characters ? firstCharacters(text, characters) : text
  }

  leave (runId: string): void { this.evict(runId) }

  evict (runId: string): void {
    const run = this.#runs.get(runId)
    if (!run) return
    for (const subscriber of run.subscribers) subscriber.replacing()
    this.hooks?.onEvict(runId)
    this.#bytes -= run.transcript.weight
    this.#runs.delete(runId)
    this.#recent = undefined
    this.#ended.delete(runId)
    for (const subscriber of [...run.subscribers]) subscriber.evicted()
  }

  subscribe (runId: string, subscriber: Subscriber): void {
    this.#find(runId).subscribers.add(subscriber)
  }

  unsubscribe (runId: string, subscriber: Subscriber): void {
    const run = this.#runs.get(runId)
    if (!run?.subscribers.delete(subscriber)) return
    // An unfinished run of another process is held only for its readers here.
    if (run.subscribers.size === 0 && this.isRemote(runId)) this.evict(runId)
  }

  /** Whether a run has subscribers here. */
  isFollowed (runId: string): boolean {
    return (this.#runs.get(runId)?.subscribers.size ?? 0) > 0
  }

  /** Whether this process executes a run or has executed it. */
  isOwn (runId: string): boolean {
    return this.#get(runId)?.isOwn ?? false
  }

  /** Whether a run is executed elsewhere, if at all, and has not ended as far as this log knows. */
  isRemote (runId: string): boolean {
    const run = this.#get(runId)
    return !run?.isOwn && !run?.hasEnded
  }

  remoteRuns (): string[] {
    return [...this.#runs].flatMap(([runId, run]) => run.subscribers.size > 0 && this.isRemote(runId) ? runId : [])
  }

  close (): void {
    clearInterval(this.#sweep)
    this.#runs.clear()
    this.#recent = undefined
  }

  #get (runId: string): RunRecord | undefined {
    if (this.#recent?.runId === runId) return this.#recent.run
    const run = this.#runs.get(runId)
    if (run) this.#recent = { runId, run }
    return run
  }

  #find (runId: string): RunRecord {
    let run = this.#get(runId)
    if (!run) {
      run = { isOwn: false, hasEnded: false, transcript: new Transcript(firstSeq(1)), subscribers: new Set() }
      this.#runs.set(runId, run)
    }
    return run
  }

  /** Evicts ended runs that are too old or do not fit. Readers that are still behind resume from the database. */
  #makeRoom (): void {
    const tooOld = Date.now() - this.options.keepMs
    for (const [runId, endedAt] of this.#ended) {
      if (this.#bytes <= this.options.maxBytes && endedAt > tooOld) return
      if (this.hooks?.mayEvict(runId) ?? true) this.evict(runId)
    }
  }
}
