import { streamKey } from './keys.js'
import type { RedisLink } from './link.js'
import { STREAM_SECONDS } from './run-stream.js'

const INTERVAL_MS = 1_000
/** The entry in a run's stream that holds a position: one event, as `packEvents` encodes it. */
const QUEUED = '[{"type":"queued","runId":"%s","position":%d}]'
/** The position of a run for which none was emitted yet. */
const NONE = Number.MAX_SAFE_INTEGER
/** After this number of checks without the run among the waiting ones it is no longer checked; until then it may be parked. */
const MAX_MISSES = 30
/** The same for a run that was never among them: most are executed at once, and some are held for a moment by a process without a slot. */
const MAX_UNSEEN = 3

interface WaitingRun { emitted: number, misses: number }

/** Emits the queue positions of the runs that began at this process, as they improve. */
export class QueuePositions {
  #runs = new Map<string, WaitingRun>()
  readonly #timer: NodeJS.Timeout

  /** @param waitingKey the sorted set of waiting jobs. */
  constructor (private readonly link: RedisLink, private readonly waitingKey: string) {
    this.#timer = setInterval(() => this.#emit(), INTERVAL_MS).unref()
  }

  /** Checks the position of a run, whose job Redis has accepted, until it no longer waits. */
  add (runId: string): void {
    this.#runs.set(runId, { emitted: NONE, misses: MAX_MISSES - MAX_UNSEEN })
  }

  close (): void {
    clearInterval(this.#timer)
  }

  async #emit (): Promise<void> {
    if (!this.link.isUp || this.#runs.size === 0) return
    const runs = [...this.#runs]
    const pipeline = this.link.commands.pipeline()
    for (const [runId, { emitted }] of runs) {
      pipeline.emitPosition(this.waitingKey, streamKey(runId), runId, emitted, QUEUED, STREAM_SECONDS)
    }
    const results = await pipeline.exec().catch(() => undefined)
    for (const [index, [runId, run]] of runs.entries()) {
      const position = results?.[index]?.[1] as number | undefined
      if (position === undefined) continue
      if (position > 0) Object.assign(run, { emitted: position, misses: 0 })
      else if (++run.misses > MAX_MISSES) this.#runs.delete(runId)
    }
  }
}
