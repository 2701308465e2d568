/** Whose request it is. */
export interface RequestOwner { userId: string, runId?: string }

/** How many requests may be under way at a time: of all, of one user, of one run. */
export interface PermitLimits { all: number, user: number, run: number }

interface Waiting { owner: RequestOwner, grant: () => void }

/**
 * Permits for requests, each of which takes a socket. Those that wait get theirs in the order in which they came, except
 * that nobody waits for another user's or run's limit.
 */
export class Permits {
  #all = 0
  readonly #counts = new Map<string, number>()
  #waiting: Waiting[] = []

  constructor (private readonly limits: PermitLimits) {}

  /** How many permits are out. */
  get size (): number { return this.#all }

  /**
   * @returns the function that gives the permit back; further calls of it do nothing.
   * @throws the signal's reason once it is aborted.
   */
  async acquire (owner: RequestOwner, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#isFree(owner)) this.#count(owner, 1)
    else await this.#wait(owner, signal)
    let isOut = true
    return () => {
      if (!isOut) return
      isOut = false
      this.#count(owner, -1)
      this.#advance()
    }
  }

  #wait (owner: RequestOwner, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting = this.#waiting.filter(other => other !== waiting)
        reject(signal.reason)
      }
      const waiting = {
        owner,
        grant () {
          signal.removeEventListener('abort', leave)
          resolve()
        }
      }
      this.#waiting.push(waiting)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  /** A permit that was given back makes room for one. */
  #advance (): void {
    const next = this.#waiting.find(({ owner }) => this.#isFree(owner))
    if (!next) return
    this.#waiting = this.#waiting.filter(other => other !== next)
    this.#count(next.owner, 1)
    next.grant()
  }

  #isFree ({ userId, runId }: RequestOwner): boolean {
    const { all, user, run } = this.limits
    return this.#all < all && this.#countOf(`user ${userId}`) < user && (runId === undefined || this.#countOf(`run ${runId}`) < run)
  }

  #countOf (key: string): number {
    return this.#counts.get(key) ?? 0
  }

  #count ({ userId, runId }: RequestOwner, change: 1 | -1): void {
    this.#all += change
    for (const key of [`user ${userId}`, ...(runId === undefined ? [] : [`run ${runId}`])]) {
      const count = this.#countOf(key) + change
      if (count > 0) this.#counts.set(key, count)
      else this.#counts.delete(key)
    }
  }
}
