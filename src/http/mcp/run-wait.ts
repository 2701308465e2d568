import { errors } from '#shared/errors.ts'
import { isFinal } from '#shared/final-event.ts'
import type { FinalEvent } from '#shared/schemas.ts'
import type { Entry, EventLog } from '../../executor/events/event-log.js'
import { follow, type Follower, type Reader } from '../../executor/events/follow.js'

export interface RunWaitOptions {
  readonly log: EventLog
  readonly runId: string
  isDraining (): boolean
  /** Takes each event, the last one included. */
  take (entry: Entry): void
}

/** Waits for a run's end, wherever it is made, for a caller that cannot come back for it. */
export class RunWait implements Reader {
  /** Resolves with the run's last event. Rejects with what `stop` was given; with connection_ended, if this process lets go of the run. */
  readonly over: Promise<FinalEvent>
  #resolve!: (event: FinalEvent) => void
  #reject!: (error: unknown) => void
  #follower: Follower

  constructor (private readonly options: RunWaitOptions) {
    this.over = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#follower = follow(options.log, options.runId, 0, this)
  }

  write (entry: Entry): boolean {
    this.options.take(entry)
    if (isFinal(entry.event)) this.#resolve(entry.event)
    return true
  }

  end (): void {}

  /** While this process lives it learns of the rest from Redis, or from the database. */
  moved (after: number): void {
    const { log, runId, isDraining } = this.options
    if (isDraining()) this.stop(errors.connectionEnded().with({ runId }))
    else this.#follower = follow(log, runId, after, this)
  }

  /** Waits no longer; the run goes on. */
  stop (error: unknown): void {
    this.#follower.stop()
    this.#reject(error)
  }
}
