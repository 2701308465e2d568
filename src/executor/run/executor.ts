import { setTimeout as delay } from 'node:timers/promises'
import type { SlotTicket } from '../../lib/slots.js'
import type { Progress } from '../agent/progress.js'
import { RunFigures } from '../agent/run-figures.js'
import type { Assignment } from './assignment.js'
import type { AttemptDeps, AttemptOwner, Ending, RunAttempt } from './attempt-deps.js'
import { Attempt } from './attempt.js'

/** How often the ages of runs are checked, in milliseconds; one timer for all runs, while there are any. */
const AGE_CHECK_MS = 1_000

/** The attempts that are under way in this process, and how they are stopped. */
export class Executor implements AttemptOwner {
  #attempts = new Map<string, Attempt>()
  #isReleased = false
  /** The runs that are beginning here: the database may have them before this process has its answer. */
  readonly expected = new Set<string>()
  readonly figures = new RunFigures()
  #ageCheck: NodeJS.Timeout | undefined
  #whenUserWaits?: (userId: string) => void

  constructor (private readonly deps: AttemptDeps) {}

  /** How many attempts are under way or waiting for a slot. */
  get size (): number { return this.#attempts.size }

  /** Begins an attempt, whose events say how it goes. Resolves when it has ended here; never rejects. */
  launch (assignment: Assignment, ticket: SlotTicket): Promise<Ending> {
    const { run: { runId, attempt }, emitted = [] } = assignment
    const present = this.#attempts.get(runId)
    // The database's answer may come so late that a later attempt is under way already.
    if (this.#isReleased || (present && present.number > attempt)) {
      ticket.release()
      return Promise.resolve(this.#isReleased ? 'released' : 'lost')
    }
    present?.stop('lost')
    this.deps.events.open(runId, attempt)
    for (const event of emitted) this.deps.events.append(runId, event)
    const next = new Attempt(assignment, ticket, this.deps, this)
    this.#attempts.set(runId, next)
    this.#ageCheck ??= setInterval(() => this.#checkAges(), Math.min(AGE_CHECK_MS, this.deps.maxRunSeconds * 1000)).unref()
    return next.ended
  }

  /** The numbers of the attempts under way, by run. */
  get attempts (): Map<string, number> {
    return new Map([...this.#attempts].map(([runId, { number }]) => [runId, number]))
  }

  /** The progress of a run that is under way here. */
  progressOf (runId: string): Progress | undefined {
    return this.#attempts.get(runId)?.progress
  }

  /** Cancels a run, and waits until it is settled. Resolves to false where it is not under way here. */
  async cancel (runId: string): Promise<boolean> {
    const attempt = this.#attempts.get(runId)
    attempt?.stop('cancelled')
    await attempt?.ended
    return attempt !== undefined
  }

  /** Abandons the attempt at a run that another process has taken over; nothing is written. */
  abandon (runId: string): void {
    this.#attempts.get(runId)?.stop('lost')
  }

  /** Waits until all attempts have ended, for `ms` milliseconds at most. */
  async drain (ms: number): Promise<void> {
    const timeout = new AbortController()
    const ended = Promise.all([...this.#attempts.values()].map(attempt => attempt.ended))
    await Promise.race([ended, delay(ms, undefined, { signal: timeout.signal }).catch(() => {})])
    timeout.abort()
  }

  /** Abandons all attempts so that other processes can go on, and begins no more; waits for `ms` milliseconds at most until they have stopped. */
  async releaseAll (ms: number): Promise<void> {
    this.#isReleased = true
    for (const attempt of this.#attempts.values()) attempt.stop('released')
    await this.drain(ms)
  }

  /** Calls `listener` when a run has been settled here while another one of its user waits, perhaps for that. */
  whenUserWaits (listener: (userId: string) => void): void {
    this.#whenUserWaits = listener
  }

  onUserWaits (userId: string): void {
    this.#whenUserWaits?.(userId)
  }

  isLatest (attempt: RunAttempt): boolean {
    return this.#attempts.get(attempt.runId) === attempt
  }

  onEnded (attempt: RunAttempt): void {
    if (this.isLatest(attempt)) this.#attempts.delete(attempt.runId)
    if (this.#attempts.size > 0) return
    clearInterval(this.#ageCheck)
    this.#ageCheck = undefined
  }

  #checkAges (): void {
    const now = Date.now()
    for (const attempt of this.#attempts.values()) attempt.checkAge(now)
  }
}
