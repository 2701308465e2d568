import { setTimeout as delay } from 'node:timers/promises'
import type { SlotTicket } from '../../lib/slots.js'
import type { Progress } from '../agent/progress.js'
import { type Assignment, Attempt, type AttemptDeps, type AttemptOwner, type Ending } from './attempt.js'

/** The runs that are made here, and how they can be stopped. */
export class Executor implements AttemptOwner {
  #attempts = new Map<string, Attempt>()
  #isReleased = false

  constructor (private readonly world: AttemptDeps) {}

  /** How many runs are under way or waiting here. */
  get size (): number { return this.#attempts.size }

  /** Takes a run on. Its events tell how it goes; resolves when it has ended here, and never rejects. */
  launch (assignment: Assignment, ticket: SlotTicket): Promise<Ending> {
    const { run: { runId, attempt }, emitted: told = [] } = assignment
    const present = this.#attempts.get(runId)
    // The answer that began this attempt may have been so late that a later one is under way.
    if (this.#isReleased || (present && present.number > attempt)) {
      ticket.release()
      return Promise.resolve(this.#isReleased ? 'released' : 'lost')
    }
    present?.stop('lost')
    this.world.events.open(runId, attempt)
    for (const event of told) this.world.events.append(runId, event)
    const next = new Attempt(assignment, ticket, this.world, this)
    this.#attempts.set(runId, next)
    return next.ended
  }

  /** The attempts under way here, by run. */
  get attempts (): Map<string, number> {
    return new Map([...this.#attempts].map(([runId, { number }]) => [runId, number]))
  }

  /** The text so far of a run that is under way here. */
  progressOf (runId: string): Progress | undefined {
    return this.#attempts.get(runId)?.progress
  }

  /** Stops a run and waits until it is settled; false: it is not under way here. */
  async cancel (runId: string): Promise<boolean> {
    const attempt = this.#attempts.get(runId)
    attempt?.stop('cancelled')
    await attempt?.ended
    return attempt !== undefined
  }

  /** Another process has the run: what was under way here ends without a word to the database. */
  abandon (runId: string): void {
    this.#attempts.get(runId)?.stop('lost')
  }

  /** Waits for all runs to end, for so many milliseconds at the most. */
  async drain (ms: number): Promise<void> {
    const enough = new AbortController()
    const ended = Promise.all([...this.#attempts.values()].map(attempt => attempt.ended))
    await Promise.race([ended, delay(ms, undefined, { signal: enough.signal }).catch(() => {})])
    enough.abort()
  }

  /** Stops what is under way, and takes nothing more on, for others to go on with; waits for so many milliseconds until all of it has stopped. */
  async release (ms: number): Promise<void> {
    this.#isReleased = true
    for (const attempt of this.#attempts.values()) attempt.stop('released')
    await this.drain(ms)
  }

  /** For its attempts. */
  isLatest (attempt: Attempt): boolean {
    return this.#attempts.get(attempt.runId) === attempt
  }

  /** For its attempts. */
  onEnded (attempt: Attempt): void {
    if (this.isLatest(attempt)) this.#attempts.delete(attempt.runId)
  }
}
