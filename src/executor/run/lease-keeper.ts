import type { Logger } from 'pino'
import type { ClaimedRun, WaitingRun } from '#shared/database/runs.ts'
import type { Database } from '../../database/port.js'
import { INLINE_INPUT } from '../../lib/memory/memory-budget.js'
import type { MemoryShare } from '../../lib/memory/memory-share.js'
import type { Slots } from '../../lib/slots.js'
import { Pace } from '../../lib/pace.js'
import type { EventLog } from '../events/event-log.js'
import type { Executor } from './executor.js'
import { LEASE_SECONDS } from './lease.js'
import { roomFor } from './memory-ticket.js'
import type { LocalQueue } from './queue.js'

/** Without unfinished runs anywhere, claims are tried this seldom, once the first minutes of a deploy are over. */
const IDLE_MS = 15_000
const ALERT_MS = 5 * 60_000
/** Where no other process is known to live, runs can begin here alone: so seldom are others looked for, whose runs may need this one. */
const QUIET_MS = 10 * 60_000
/** A process that has just started looks a few times, since others may start at the same time. */
const SETTLE_MS = 10_000
const SETTLE_PAUSE_MS = 5_000
const MAX_CLAIM = 50
/** How often, and how many at a time, runs are put back into the shared queue, which Redis may have lost. */
const RESTORE_MS = 30_000
const MAX_RESTORE = 1_000

/** The queue of all replicas, as far as leases need it. */
export interface SharedRuns {
  /** Whether it can be reached. */
  readonly isUp: boolean
  /** Puts runs back that are not in it any more. Rejects where it cannot be reached. */
  restore (runs: WaitingRun[]): Promise<void>
  /** A run of the user has ended: another one that waits for that may begin. */
  promoteParked (userId: string): void
}

export interface LeaseKeeperOptions {
  /** This process, as the owner of its runs. */
  owner: string
  database: Pick<Database, 'call'>
  executor: Executor
  events: EventLog
  slots: Slots
  memory: MemoryShare
  queue: LocalQueue
  shared?: SharedRuns
  maxConcurrent: number
  /** Whether the process may leave the database alone while nothing happens; not where others begin the runs that it makes. */
  mayBeQuiet: boolean
  isDraining (): boolean
  /** Whether this process can run agents in Python. */
  hasPython (): Promise<boolean>
  log: Pick<Logger, 'info' | 'warn'>
  /** The clock that decides when to look. */
  now? (): number
}

/** What is known of the runs and processes beside the same database. */
interface Sight { outstanding: boolean, others: boolean }

/** Renews the leases of this process, and takes over runs whose lease has expired. */
export class LeaseKeeper {
  readonly #now: () => number
  readonly #startedAt: number
  readonly #pace: Pace
  #nextRestore = 0
  #reconcileUntil = 0
  #unknownBefore = new Set<string>()

  constructor (private readonly options: LeaseKeeperOptions) {
    this.#now = options.now ?? Date.now
    this.#startedAt = this.#now()
    this.#pace = new Pace(SETTLE_PAUSE_MS, this.#now)
  }

  /** Redis has lost what it knew: the next round restores the shared queue. */
  onQueueLost (): void {
    this.#nextRestore = 0
    this.#pace.hurry()
  }

  /** Something happens here: the next round looks for what was left behind. */
  wake (): void {
    this.#pace.wake()
  }

  /** One round. Heartbeat before claiming; otherwise, after an outage, a process would claim its own runs. */
  async renew (): Promise<void> {
    const { executor, isDraining } = this.options
    if (executor.size > 0) {
      await this.#heartbeat()
      this.#pace.wake()
    }
    if (isDraining() || !this.#pace.isDue) return
    this.#pace.pause(this.#pauseAfter(await this.#takeOver()))
  }

  /** Milliseconds from a look to the next one. */
  #pauseAfter ({ outstanding, others }: Sight): number {
    const age = this.#now() - this.#startedAt
    if (outstanding || (others && age < ALERT_MS)) return 0
    if (others || !this.options.mayBeQuiet) return age < ALERT_MS ? 0 : IDLE_MS
    return age < SETTLE_MS ? SETTLE_PAUSE_MS : QUIET_MS
  }

  /**
   * Releases all leases, after the executor has stopped its attempts; then another process may claim the runs.
   * @param stop ends the rounds, and waits for the one under way.
   */
  async release (stop: () => Promise<void>): Promise<void> {
    const { events, database, owner, log } = this.options
    for (const runId of events.remoteRuns()) events.evict(runId)
    try {
      await stop()
      await database.call('release_runs', { p_owner: owner })
    } catch (err) {
      log.warn({ err }, 'runs could not be handed over: they are taken over when their leases end')
    }
  }

  async #heartbeat (): Promise<void> {
    const { database, owner, executor } = this.options
    const { lapsed, owned, cancel } = await database.call(
      'heartbeat_worker', { p_owner: owner, p_lease_seconds: LEASE_SECONDS })
    for (const runId of cancel) executor.cancel(runId)
    // Another process may be claiming runs of a lapsed lease right now: reconcile until that is certainly over.
    if (lapsed) this.#reconcileUntil = Date.now() + 2 * LEASE_SECONDS * 1000
    if (Date.now() < this.#reconcileUntil || owned !== executor.size || this.#unknownBefore.size > 0) await this.#reconcile()
  }

  /** Compares the attempts under way here with the runs that this process owns in the database. */
  async #reconcile (): Promise<void> {
    const { database, owner, executor } = this.options
    const before = executor.attempts
    const owned = await database.call('get_owned_runs', { p_owner: owner })
    const now = executor.attempts
    // Attempts that began or ended during the call are left alone.
    for (const [runId, attempt] of now) {
      if (before.get(runId) === attempt && owned[runId] !== attempt) executor.abandon(runId)
    }
    // A run whose begin or claim was never answered is released if it is still unknown in the next round.
    const unknown = Object.keys(owned).filter(runId => !now.has(runId) && !before.has(runId) && !executor.expected.has(runId))
    const orphans = unknown.filter(runId => this.#unknownBefore.has(runId))
    this.#unknownBefore = new Set(unknown)
    if (orphans.length > 0) await database.call('release_runs', { p_owner: owner, p_run_ids: orphans })
  }

  /** With a shared queue only expired leases are claimed here: runs without an owner are in the queue, or are put back. */
  async #takeOver (): Promise<Sight> {
    const { shared } = this.options
    if (!shared?.isUp) return this.#claim(false)
    const sight = await this.#claim(true)
    const isRestoreOutstanding = await this.#restore(shared)
    return { ...sight, outstanding: sight.outstanding || isRestoreOutstanding }
  }

  /** Claims runs that nobody owns, as far as there are slots and memory. A process that makes no runs shows the others that it lives. */
  async #claim (onlyLapsed: boolean): Promise<Sight> {
    const { database, owner, slots, memory, maxConcurrent, shared, hasPython } = this.options
    const room = Math.min(MAX_CLAIM, maxConcurrent - slots.running)
    if (room <= 0 && maxConcurrent > 0) return { outstanding: true, others: true }
    // With Redis no process is quiet, so none has to show that it lives.
    if (room <= 0 && shared) return { outstanding: false, others: true }
    const { claimed, outstanding, others } = await database.call('claim_runs', {
      p_owner: owner,
      p_lease_seconds: LEASE_SECONDS,
      p_limit: room,
      p_python: await hasPython(),
      // With Redis, events of the first attempt may have been published already.
      p_keep_first: !shared,
      p_lapsed: onlyLapsed,
      p_room: roomFor(memory),
      p_inline_bytes: INLINE_INPUT
    })
    await Promise.all(claimed.map(run => this.#makeRun(run)))
    return { outstanding: outstanding && maxConcurrent > 0, others }
  }

  /** A run that cannot be made rests, and the others go on. */
  async #makeRun (claimed: ClaimedRun): Promise<void> {
    const { database, log, queue, shared } = this.options
    const { run: { runId, attempt }, userId } = claimed
    try {
      log.info({ runId, attempt, userId }, '[AGENT-EXECUTOR] taken over')
      // After a settlement the database says whether another run of the user waits.
      queue.launchClaimed(claimed).then(ending => { if (ending !== 'settled') shared?.promoteParked(userId) })
    } catch (err) {
      log.warn({ err, runId }, '[AGENT-EXECUTOR] could not be taken over: it is tried again')
      await database.call('rest_run', { p_run_id: runId, p_reason: `It could not be made: ${String(err)}` })
    }
  }

  /** Puts runs back into the queue that wait and are not in it: released by a process that ended, or lost by Redis. */
  async #restore (shared: SharedRuns): Promise<boolean> {
    const isFull = Date.now() >= this.#nextRestore
    const { runs, outstanding } = await this.options.database.call(
      'list_waiting_runs', { p_limit: MAX_RESTORE, p_queued: isFull })
    // If Redis goes away meanwhile, the next round finds the runs again.
    const isDone = runs.length === 0 || await shared.restore(runs).then(() => true, () => false)
    if (isFull && isDone) this.#nextRestore = Date.now() + RESTORE_MS
    return outstanding
  }
}
