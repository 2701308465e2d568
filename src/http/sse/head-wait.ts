import type { ServerResponse } from 'node:http'
import { errors } from '#shared/errors.ts'
import { answerOf, isFinal } from '#shared/final-event.ts'
import type { Entry, EventLog } from '../../executor/events/event-log.js'
import { follow, type Follower, type Reader } from '../../executor/events/follow.js'
import { RETRY_AFTER } from '../../executor/run/runs.js'

/**
 * A stream whose head waits for the run's first output, so that a failure before it can be answered with a status:
 * callers that know of errors in streams no more than a sentence charge for every 2xx.
 */
export class HeadWait implements Reader {
  /** Resolves when the head is due, or nobody waits for it any more. Rejects with the error of a run that failed before its first output. */
  readonly over: Promise<void>
  #resolve!: () => void
  #reject!: (error: unknown) => void
  #follower: Follower
  readonly #leave = () => this.#resolve()

  /** @param ms how long to wait at the most. */
  constructor (private readonly log: EventLog, private readonly runId: string, ms: number, raw: ServerResponse) {
    this.over = new Promise<void>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    }).finally(() => {
      clearTimeout(timer)
      raw.off('close', this.#leave)
      // Not before the stream follows the run: one that is made elsewhere is let go of when its last reader leaves.
      setImmediate(() => this.#follower.stop())
    })
    const timer = setTimeout(this.#resolve, ms)
    raw.on('close', this.#leave)
    this.#follower = follow(log, runId, 0, this)
  }

  write ({ event }: Entry): boolean {
    if (event.type === 'chunk' || event.type === 'done') this.#resolve()
    else if (isFinal(event)) this.#fail(event)
    return true
  }

  end (): void {}

  /** The run goes on elsewhere, as far as this process knows; it learns of the rest from Redis or from the database. */
  moved (after: number): void {
    this.#follower = follow(this.log, this.runId, after, this)
  }

  /** The server closes. */
  close (): void {
    this.#reject(errors.shuttingDown().with({ runId: this.runId, retryAfter: RETRY_AFTER }))
  }

  #fail (event: Parameters<typeof answerOf>[0]): void {
    try {
      answerOf(event)
    } catch (error) {
      this.#reject(error)
    }
  }
}
