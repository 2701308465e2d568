import type { ClaimedRun } from '#shared/database/runs.ts'
import { KEPT_INPUT } from '../../lib/memory/memory-budget.js'
import type { SlotTicket } from '../../lib/slots.js'
import type { EventLog } from '../events/event-log.js'
import { type Assignment, withoutInput } from './assignment.js'
import type { Ending } from './attempt-deps.js'
import { MemoryTicket, roomFor, type RunResources } from './memory-ticket.js'

/** What holds for a run that begins beside other processes, and is checked where it begins: see `begin_run`. */
export interface BeginLimits {
  /** How many runs of one user may be under way over all processes. */
  readonly maxPerUser: number
  /** For how many bytes of input this process has memory. */
  readonly room: number
}

/** The permission to begin one run. */
export interface Admission {
  /** The owner to record for the run; null if it is claimed from the queue later, by any process. */
  readonly owner: string | null
  /** Whether the run waits for a slot at first. */
  readonly waits: boolean
  /** Where other processes may have runs that go first: the run begins within these limits, or has to wait in the queue. */
  readonly limits?: BeginLimits
  /** Executes or queues the run, which has begun in the database. */
  accept (begun: Assignment): void
  /** The run has not begun. Does nothing after `accept` or another `release`. */
  release (): void
}

/** Brings runs from the process where they begin to the one that executes them, in fair order and within the limits. */
export interface RunQueue {
  /**
   * Admits a run of a user; undefined if the queue is full.
   * @param hasToWait whether the run was admitted before, and could not begin within the limits of that admission.
   */
  admit (userId: string, hasToWait?: boolean): Promise<Admission | undefined>
  /** A reader has come for a run that waits, and is to be told its place: where the run began that may no longer be done. */
  watchPlace (runId: string): void
  /**
   * Asks the other processes to cancel a run. The request may be lost: the process that executes the run also reads it
   * from the database with its next heartbeat.
   */
  cancel (runId: string): void
  /** Stops claiming runs from the queue. */
  stop (): Promise<void>
}

/** The part of the executor that a queue uses. */
export interface RunLauncher {
  /** Executes an attempt once its ticket has a slot. Resolves when the attempt has ended in this process; never rejects. */
  launch (assignment: Assignment, ticket: SlotTicket): Promise<Ending>
  /** Cancels a run if this process executes it. */
  cancel (runId: string): Promise<unknown>
}

/** The queue of a single process, which executes every run that it begins. */
export class LocalQueue implements RunQueue {
  /**
   * @param owner the name of this process as the owner of runs.
   * @param hasWorkers whether this process executes runs. If not, its runs wait in the database until another process
   * claims them.
   */
  constructor (
    private readonly owner: string,
    private readonly resources: RunResources,
    private readonly launcher: RunLauncher,
    private readonly events: EventLog,
    private readonly hasWorkers: boolean
  ) {}

  async admit (userId: string): Promise<Admission | undefined> {
    if (!this.hasWorkers) return { owner: null, waits: true, accept () {}, release () {} }
    return this.#toAdmission(this.resources.slots.acquire(userId))
  }

  /** Admits a run of a user if it can be executed here at once. */
  admitNow (userId: string): Admission | undefined {
    return this.#toAdmission(this.hasWorkers ? this.resources.slots.tryAcquire(userId) : undefined)
  }

  /** For how many bytes of input this process has memory. */
  get room (): number { return roomFor(this.resources.memory) }

  #toAdmission (ticket: SlotTicket | undefined): Admission | undefined {
    let isAccepted = false
    return ticket && {
      owner: this.owner,
      waits: ticket.position > 0,
      accept: begun => {
        isAccepted = true
        this.#launch(begun, ticket)
      },
      release: () => { if (!isAccepted) ticket.release() }
    }
  }

  /**
   * Executes a claimed run, however full the queue is. Resolves when the attempt has ended in this process; never rejects.
   * @param emitted the events of this attempt that were emitted before it was claimed, such as queue positions.
   * @param slot the slot for it; by default it waits for one.
   */
  launchClaimed (
    { run, userId, cancel, input, steps, inputBytes }: ClaimedRun, emitted?: Assignment['emitted'], slot = this.resources.slots.acquireOrWait(userId)
  ): Promise<Ending> {
    const ended = this.#launch({ ...input, steps, inputBytes, run, userId, emitted }, slot)
    if (cancel) this.launcher.cancel(run.runId)
    return ended
  }

  /** Does nothing: the places of runs that wait here are told. */
  watchPlace (): void {}

  /** Does nothing: there is no other process. */
  cancel (): void {}

  /** Does nothing: runs begin only by `admit`, `admitNow` and `launchClaimed`. */
  async stop (): Promise<void> {}

  /** Emits positions only after `launch`, which opens the attempt's record in the log. */
  #launch (begun: Assignment, slot: SlotTicket): Promise<Ending> {
    const { run: { runId }, userId, inputBytes = 0 } = begun
    const isLarge = inputBytes > KEPT_INPUT
    const ticket = isLarge ? new MemoryTicket(this.resources, userId, inputBytes, slot) : slot
    // A large input is not kept while its run waits: the attempt reads it from the database.
    const ended = this.launcher.launch(isLarge && ticket.position > 0 ? { ...withoutInput(begun), emitted: begun.emitted } : begun, ticket)
    if (ticket.position > 0) ticket.watch(position => { this.events.append(runId, { type: 'queued', runId, position }) })
    return ended
  }
}
