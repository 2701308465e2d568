import { attemptOf, firstSeq } from '#shared/event-number.ts'
import { isFinal } from '#shared/final-event.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { Entry, EventLog, Subscriber } from './event-log.js'
import { Transcript } from './transcript.js'

interface RunRecord {
  /** Whether it is made here, and not only known from elsewhere. */
  isOwn: boolean
  hasEnded: boolean
  transcript: Transcript
  readonly subscribers: Set<Subscriber>
}

export interface MemoryEventLogOptions {
  /** How much all runs together may hold before finished ones are let go, oldest first. */
  maxBytes: number
  /** How long a finished run is kept at the most, in milliseconds. */
  keepMs: number
}

/** The log of one process. */
export class MemoryEventLog implements EventLog {
  #runs = new Map<string, RunRecord>()
  /** The one that was looked up last: telling an event asks for the same run again and again. */
  #recent: { runId: string, run: RunRecord } | undefined
  /** Finished runs in the order they ended, with when that was. */
  #finished = new Map<string, number>()
  #bytes = 0
  #sweep: NodeJS.Timeout

  constructor (private readonly options: MemoryEventLogOptions) {
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
    this.#tell(run)
    return entry
  }

  ingest (runId: string, first: number, events: readonly RunEvent[]): void {
    const run = this.#find(runId)
    if (run.isOwn || attemptOf(first) < attemptOf(run.transcript.first)) return
    if (run.transcript.length === 0 || attemptOf(first) > attemptOf(run.transcript.first)) this.#restart(runId, run, attemptOf(first))
    const known = run.transcript.first + run.transcript.length - first
    if (known < 0) return
    for (const event of events.slice(known)) this.#push(runId, run, event)
    this.#tell(run)
  }

  #restart (runId: string, run: RunRecord, attempt: number): void {
    this.#bytes -= run.transcript.weight
    run.transcript = new Transcript(firstSeq(attempt))
    run.hasEnded = false
    this.#finished.delete(runId)
  }

  #push (runId: string, run: RunRecord, event: RunEvent): Entry {
    const before = run.transcript.weight
    const entry = run.transcript.push(event)
    this.#bytes += run.transcript.weight - before
    if (isFinal(event)) {
      run.hasEnded = true
      this.#finished.set(runId, Date.now())
    }
    return entry
  }

  #tell (run: RunRecord): void {
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

  evict (runId: string): void {
    const run = this.#runs.get(runId)
    if (!run) return
    this.#bytes -= run.transcript.weight
    this.#runs.delete(runId)
    this.#recent = undefined
    this.#finished.delete(runId)
    for (const subscriber of [...run.subscribers]) subscriber.evicted()
  }

  subscribe (runId: string, subscriber: Subscriber): void {
    this.#find(runId).subscribers.add(subscriber)
  }

  unsubscribe (runId: string, subscriber: Subscriber): void {
    const run = this.#runs.get(runId)
    if (!run?.subscribers.delete(subscriber)) return
    // What is made elsewhere is known here for its readers' sake, as long as it goes on.
    if (run.subscribers.size === 0 && this.isRemote(runId)) this.evict(runId)
  }

  remoteRuns (): string[] {
    return [...this.#runs].flatMap(([runId, run]) => run.subscribers.size > 0 && this.isRemote(runId) ? runId : [])
  }

  /** Whether a run's events come from another process, if from any. */
  protected isRemote (runId: string): boolean {
    const run = this.#get(runId)
    return !run?.isOwn && !run?.hasEnded
  }

  /** Whether nobody needs a finished run any more but readers, who find it in the database as well. */
  protected mayEvict (_runId: string): boolean {
    return true
  }

  protected isFollowed (runId: string): boolean {
    return (this.#runs.get(runId)?.subscribers.size ?? 0) > 0
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

  /** A reader that is still behind a run that has to go is told so, and resumes from what the database keeps. */
  #makeRoom (): void {
    const tooOld = Date.now() - this.options.keepMs
    for (const [runId, endedAt] of this.#finished) {
      if (this.#bytes <= this.options.maxBytes && endedAt > tooOld) return
      if (this.mayEvict(runId)) this.evict(runId)
    }
  }
}
