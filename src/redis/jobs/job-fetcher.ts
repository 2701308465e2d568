import { setTimeout as delay } from 'node:timers/promises'
import type { Job, Worker } from 'bullmq'
import type { Slots, SlotTicket } from '../../lib/slots.js'
import type { RunJob } from '../run-job.js'

/** How many jobs are requested from Redis at a time. */
const MAX_WIDTH = 32
/** The pause after Redis has refused or the connection was lost. */
const RETRY_MS = 1_000

/**
 * Takes jobs from the queue as long as slots are free: several at a time while there are more, and otherwise one that waits
 * for the next. BullMQ's own loop requests one after the other, and does not know that slots are also taken by other runs.
 */
export class JobFetcher {
  #fetching = 0
  /** How many jobs are requested at a time: it doubles with each job, and is 1 again when there is none. */
  #width = 1
  #mayHaveJobs = false
  #isWaiting = false
  #isStopped = false
  #tokens = 0

  /**
   * @param name this process, for the locks of jobs.
   * @param execute takes a job with its slot, and returns the slot.
   * @param giveBack takes a job that came although there is no slot for it.
   */
  constructor (
    private readonly worker: Pick<Worker<RunJob>, 'getNextJob'>,
    private readonly name: string,
    private readonly slots: Slots,
    private readonly execute: (job: Job<RunJob>, slot: SlotTicket) => void,
    private readonly giveBack: (job: Job<RunJob>) => void
  ) {
    slots.onFreed(() => this.fetch())
  }

  /** Whether the last look into the queue has found a job, so that there may be more. */
  get mayHaveJobs (): boolean { return this.#mayHaveJobs }

  /** Requests jobs for free slots. */
  fetch (): void {
    if (this.#isStopped) return
    if (!this.#mayHaveJobs) {
      if (!this.#isWaiting && this.slots.free > 0) this.#wait()
      return
    }
    while (this.#fetching < Math.min(this.slots.free, this.#width)) this.#fetchOne()
  }

  /** Requests no more jobs. One that arrives all the same is given back. */
  stop (): void {
    this.#isStopped = true
  }

  async #fetchOne (): Promise<void> {
    this.#fetching++
    const job = await this.#next(false)
    this.#fetching--
    this.#take(job)
  }

  async #wait (): Promise<void> {
    this.#isWaiting = true
    const job = await this.#next(true)
    this.#isWaiting = false
    this.#take(job)
  }

  #take (job: Job<RunJob> | undefined): void {
    this.#mayHaveJobs = job !== undefined
    this.#width = job ? Math.min(2 * this.#width, MAX_WIDTH) : 1
    if (job) {
      // While it was requested its slot may have been taken by a run that begins here.
      const slot = this.#isStopped ? undefined : this.slots.take(job.data.userId)
      if (slot) this.execute(job, slot)
      else this.giveBack(job)
    }
    this.fetch()
  }

  async #next (block: boolean): Promise<Job<RunJob> | undefined> {
    try {
      return await this.worker.getNextJob(`${this.name}:${this.#tokens++}`, { block })
    } catch {
      await delay(RETRY_MS, undefined, { ref: false })
    }
  }
}
