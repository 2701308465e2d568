import { streamKey } from './keys.js'
import type { RedisLink } from './link.js'
import { STREAM_SECONDS } from './run-stream.js'

const INTERVAL_MS = 1_000
/** The entry in a run's stream that holds a position: one event, as `packEvents` encodes it. */
const QUEUED = '[{"type":"queued","runId":"%s","position":%d}]'
/** The position of a run for which none was emitted yet. */
const NONE = Number.MAX_SAFE_INTEGER
/** A run that so many checks in succession do not find waiting is no longer checked. */
const MAX_MISSES = 3

interface WaitingRun { emitted: number, misses: number }

/** Emits the queue positions of the runs that began at this process or are read at it, as they improve. */
export class QueuePositions {
  #runs = new Map<string, WaitingRun>()
  readonly #timer: NodeJS.Timeout

  /** @param waitingKey the sorted set of waiting jobs. */
  constructor (private readonly link: RedisLink, private readonly waitingKey: string) {
    this.#timer = setInterval(() => this.#emit(), INTERVAL_MS).unref()
  }

  /** Checks the position of a run, whose job Redis has accepted, until it no longer waits. */
  add (runId: string): void {
    if (!this.#runs.has(runId)) this.#runs.set(runId, { emitted: NONE, misses: 0 })
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
      run.misses = position < 0 ? run.misses + 1 : 0
      if (position > 0) run.emitted = position
      if (run.misses > MAX_MISSES) this.#runs.delete(runId)
    }
  }
}
