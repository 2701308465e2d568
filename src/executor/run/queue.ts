import type { Run } from '#shared/schemas.ts'
import type { Slots, SlotTicket } from '../../lib/slots.js'
import type { AgentInput } from '../agent/agent-context.js'
import type { DoneStep } from '../agent/step-record.js'
import { emitPosition, type EventLog } from '../events/event-log.js'
import type { Assignment, Ending } from './attempt.js'
import type { Executor } from './executor.js'

/** An unfinished run that was taken over. */
export interface Claimed { run: Run, userId: string, cancel: boolean, input: AgentInput, steps: DoneStep[] }

/** The place of a run that is about to begin. */
export interface Admission {
  /** Who is to have it; null: whoever takes it from the queue. */
  readonly owner: string | null
  /** Whether it has to wait for a slot. */
  readonly waits: boolean
  /** The run has begun: it goes its way. */
  accept (begun: Assignment): void
  /** It has not. Again, or after `take`: nothing happens. */
  release (): void
}

/** Brings runs from where they begin to where they are made: so many at a time, and everybody's in turn. */
export interface RunQueue {
  /** Finds a place for a user's run; undefined: the queue is full. */
  admit (userId: string): Promise<Admission | undefined>
  /** Tells whoever makes a run elsewhere that it is to end; they hear of it from the database, if not sooner. */
  cancel (runId: string): void
  /** Takes nothing more from it. */
  stop (): Promise<void>
}

/** The queue of one process, in which whoever begins a run makes it, too. */
export class LocalQueue implements RunQueue {
  /**
   * @param owner this process, as the owner of its runs.
   * @param hasWorkers whether it makes runs at all; those that it begins else wait in the database for a process that does.
   */
  constructor (
    private readonly owner: string,
    private readonly slots: Slots,
    private readonly executor: Executor,
    private readonly events: EventLog,
    private readonly hasWorkers: boolean
  ) {}

  async admit (userId: string): Promise<Admission | undefined> {
    if (!this.hasWorkers) return { owner: null, waits: true, accept () {}, release () {} }
    const ticket = this.slots.acquire(userId)
    let isTaken = false
    return ticket && {
      owner: this.owner,
      waits: ticket.position > 0,
      accept: begun => {
        isTaken = true
        this.#launch(begun, ticket)
      },
      release: () => { if (!isTaken) ticket.release() }
    }
  }

  /**
   * Makes a run that has begun before, however many wait. Resolves when it has ended here.
   * @param told what was told of this attempt already.
   */
  takeOver ({ run, userId, cancel, input, steps }: Claimed, told?: Assignment['emitted']): Promise<Ending> {
    const ended = this.#launch({ ...input, steps, run, userId, emitted: told }, this.slots.acquireOrWait(userId))
    if (cancel) this.executor.cancel(run.runId)
    return ended
  }

  cancel (): void {}

  async stop (): Promise<void> {}

  /** Positions are told only after the attempt has its own record. */
  #launch (begun: Assignment, ticket: SlotTicket): Promise<Ending> {
    const ended = this.executor.launch(begun, ticket)
    if (ticket.position > 0) ticket.watch(emitPosition(this.events, begun.run.runId))
    return ended
  }
}
