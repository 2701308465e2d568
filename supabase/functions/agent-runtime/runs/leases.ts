import type { Database } from '../database.ts'

/** Seconds for which a run stays with an isolate that sends no heartbeat; after that a service takes it over. */
export const LEASE_SECONDS = 15
const HEARTBEAT_MS = 5_000

/** Stops a run. `cancelled`: its caller cancelled it; `lost`: another owner has taken it over. */
export type Stop = (why: 'cancelled' | 'lost') => void

/** The leases of this isolate's runs. It sends heartbeats as long as it holds any. */
export class Leases {
  /** This isolate, as the owner of its runs. */
  readonly owner = crypto.randomUUID()
  #held = new Map<string, Stop>()
  #unknownBefore = new Set<string>()
  /** The runs that are beginning here: the database may have them before this isolate has its answer. */
  readonly expected = new Set<string>()
  #timer?: ReturnType<typeof setInterval>

  constructor (private readonly database: Database) {}

  /** Holds a run's lease. Returns the function that ends this. */
  hold (runId: string, stop: Stop): () => void {
    this.#held.set(runId, stop)
    this.#timer ??= setInterval(() => this.#heartbeat().catch(() => {}), HEARTBEAT_MS)
    return () => {
      this.#held.delete(runId)
      if (this.#held.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  async #heartbeat (): Promise<void> {
    const { lapsed, owned, cancel } = await this.database.call('heartbeat_worker', { p_owner: this.owner, p_lease_seconds: LEASE_SECONDS })
    for (const runId of cancel) this.#held.get(runId)?.('cancelled')
    if (lapsed || owned !== this.#held.size || this.#unknownBefore.size > 0) await this.#reconcile()
  }

  /** Compares the runs of this isolate with those that the database attributes to it. */
  async #reconcile (): Promise<void> {
    const before = new Map(this.#held)
    const owned = await this.database.call('get_owned_runs', { p_owner: this.owner })
    for (const [runId, stop] of before) if (!(runId in owned)) stop('lost')
    // The answer to begin_run may have been lost. Such a run is released if it is still unknown at the next heartbeat.
    const unknown = Object.keys(owned).filter(runId => !this.#held.has(runId) && !before.has(runId) && !this.expected.has(runId))
    const released = unknown.filter(runId => this.#unknownBefore.has(runId))
    this.#unknownBefore = new Set(unknown)
    if (released.length > 0) await this.database.call('release_runs', { p_owner: this.owner, p_run_ids: released })
  }
}
