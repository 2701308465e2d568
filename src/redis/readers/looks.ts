import type { RunOwner } from '#shared/database/runs.ts'

/** How soon a run is looked up again that nobody has answered for: twice as long each time, up to the greatest. */
const FIRST_PAUSE_MS = 500
const MAX_PAUSE_MS = 5_000

/** What the database knows of runs that are read here. */
export interface RunRegistry {
  /** Whose the runs are. */
  findOwners (runIds: string[]): Promise<readonly RunOwner[]>
  /** Puts the events of ended runs into the log. */
  readEnds (runIds: string[]): Promise<void>
}

export interface LooksOptions {
  isWanted (runId: string): boolean
  /** The process that has said it does not have a run, which the database may not know yet. */
  refusedBy (runId: string): string | undefined
  onOwner (run: RunOwner & { owner: string }): void
  /** No living process has these runs. */
  onNobody (runIds: string[]): void
}

interface Pause { ms: number, until: number }

/** Looks up whose runs are, all that come up in one tick by one call, and takes the ends of runs that have ended from the database. */
export class Looks {
  readonly #due = new Set<string>()
  readonly #pauses = new Map<string, Pause>()
  /** Ended runs whose process was asked for the events. */
  readonly #asked = new Set<string>()
  #next: NodeJS.Immediate | undefined
  #isLooking = false
  #isClosed = false

  constructor (private readonly registry: RunRegistry, private readonly self: string, private readonly options: LooksOptions) {}

  /** Looks a run up now, unless it has just been. News of it, which are a new reader and a process that has let go of it, do not wait. */
  add (runId: string, isNews = false): void {
    if (!isNews && (this.#pauses.get(runId)?.until ?? 0) > performance.now()) return
    this.#due.add(runId)
    this.#schedule()
  }

  /** Looks those runs up that nobody has answered for, each after its pause, and forgets others. */
  renew (unanswered: string[]): void {
    const open = new Set(unanswered)
    for (const runId of this.#pauses.keys()) if (!open.has(runId)) this.#pauses.delete(runId)
    for (const runId of this.#asked) if (!this.options.isWanted(runId)) this.#asked.delete(runId)
    for (const runId of unanswered) this.add(runId)
  }

  close (): void {
    this.#isClosed = true
    clearImmediate(this.#next)
  }

  #schedule (): void {
    if (this.#isLooking || this.#isClosed || this.#due.size === 0) return
    this.#next ??= setImmediate(() => {
      this.#next = undefined
      this.#isLooking = true
      this.#look().catch(() => {}).finally(() => {
        this.#isLooking = false
        this.#schedule()
      })
    })
  }

  /** A database that fails is reported elsewhere; the runs are looked up again. */
  async #look (): Promise<void> {
    const runIds = [...this.#due].filter(runId => this.options.isWanted(runId))
    this.#due.clear()
    if (runIds.length === 0) return
    for (const runId of runIds) this.#pause(runId)
    const found = await this.registry.findOwners(runIds)
    const ended: string[] = []
    const nobody: string[] = []
    for (const run of found) {
      const { runId, owner, hasEnded } = run
      if (!this.options.isWanted(runId)) continue
      const isElsewhere = owner !== null && owner !== this.self && owner !== this.options.refusedBy(runId)
      // The process that made an ended run may still have all its events, and is asked first; the database has no texts of tools.
      if (isElsewhere && !(hasEnded && this.#asked.has(runId))) this.options.onOwner({ ...run, owner })
      else if (hasEnded) ended.push(runId)
      else nobody.push(runId)
      if (hasEnded) this.#asked.add(runId)
    }
    this.options.onNobody(nobody)
    if (ended.length > 0) await this.registry.readEnds(ended)
  }

  #pause (runId: string): void {
    const ms = Math.min(MAX_PAUSE_MS, 2 * (this.#pauses.get(runId)?.ms ?? FIRST_PAUSE_MS / 2))
    this.#pauses.set(runId, { ms, until: performance.now() + ms })
  }
}
