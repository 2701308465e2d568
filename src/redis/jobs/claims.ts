import type { Claim } from '#shared/database/runs.ts'

/** How many runs are claimed in one call at the most: each of them waits for all. */
const MAX_BATCH = 32

/** A run to be claimed. */
export interface ClaimRequest {
  runId: string
  /**
   * Whether Redis may have lost positions that were emitted for the run. The claim must begin another attempt then, or numbers
   * of events would be used twice.
   */
  isAgain: boolean
}

/** Claims runs for this process. Resolves to the answers by the runs' ids. */
export type ClaimRuns = (requests: readonly ClaimRequest[]) => Promise<Record<string, Claim>>

interface Waiting { request: ClaimRequest, resolve: (claim: Claim) => void, reject: (error: unknown) => void }

/** Gathers claims: those that are made while a call is under way share the next one. */
export class Claims {
  #waiting: Waiting[] = []
  #isScheduled = false

  constructor (private readonly claimRuns: ClaimRuns) {}

  /** Claims a run. @throws the error of the call. */
  claim (request: ClaimRequest): Promise<Claim> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, resolve, reject })
      if (this.#isScheduled) return
      this.#isScheduled = true
      // The jobs that came in the same turn of the event loop join.
      setImmediate(() => this.#call())
    })
  }

  async #call (): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH)
      // If one claim makes a call fail, the others succeed by themselves.
      if (!await this.#claim(batch, batch.length === 1)) await Promise.all(batch.map(one => this.#claim([one], true)))
    }
    this.#isScheduled = false
  }

  /** Returns whether the claims are answered. */
  async #claim (batch: Waiting[], isLast: boolean): Promise<boolean> {
    try {
      const claims = await this.claimRuns(batch.map(({ request }) => request))
      for (const { request, resolve } of batch) resolve(claims[request.runId] ?? {})
      return true
    } catch (error) {
      if (isLast) for (const { reject } of batch) reject(error)
      return isLast
    }
  }
}
