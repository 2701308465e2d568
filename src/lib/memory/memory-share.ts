import { inTurn } from '../share.js'

/** Memory that somebody holds. */
export interface Hold {
  /** Takes more, which is never refused: what is under way already must come to its end. Others wait for it. */
  grow (bytes: number): void
  /** Returns all of it. Further calls do nothing. */
  release (): void
}

/** A request for memory that waits until it fits. */
export interface MemoryWait {
  /** Resolves when the memory is held; never, if the wait was cancelled. */
  readonly held: Promise<Hold>
  /** How many wait before it, counted from 1. */
  readonly position: number
  cancel (): void
}

interface Waiting { bytes: number, grant: (hold: Hold) => void }

/**
 * A part of the process's memory, of which users take what they need: an estimate, counted before the memory is used.
 * A user may hold half of it, so that no user takes it from all others. What is larger than that waits until its user,
 * or for more than the whole share everybody, holds nothing. Freed memory goes to the waiting users in turn; while
 * one waits for memory in general, nobody who came later overtakes.
 */
export class MemoryShare {
  #used = 0
  readonly #usedBy = new Map<string, number>()
  /** In the order in which the users are served next. */
  readonly #waiting = new Map<string, Waiting[]>()

  /** @param capacity bytes. */
  constructor (readonly capacity: number) {}

  /** Bytes that are held. */
  get used (): number { return this.#used }

  /** How many bytes could be taken at once by somebody who holds none; Infinity if nothing is held, since then anything fits. */
  get room (): number {
    if (this.#isAnybodyBlocked()) return 0
    return this.#used === 0 ? Infinity : Math.max(0, this.capacity - this.#used)
  }

  /** How many requests wait. */
  get waiting (): number {
    let count = 0
    for (const queue of this.#waiting.values()) count += queue.length
    return count
  }

  /** How many requests of a user wait. */
  waitingOf (userId: string): number {
    return this.#waiting.get(userId)?.length ?? 0
  }

  /** Takes memory if it is free and nobody waits for it. */
  tryTake (userId: string, bytes: number): Hold | undefined {
    if (this.waitingOf(userId) > 0 || this.#isAnybodyBlocked() || !this.#fits(userId, bytes)) return undefined
    return this.#hold(userId, bytes)
  }

  /** Takes memory whether it is free or not, for what is under way already and has to come to its end. */
  takeAnyway (userId: string, bytes: number): Hold {
    return this.#hold(userId, bytes)
  }

  /** Takes memory as soon as it is free. */
  take (userId: string, bytes: number): MemoryWait {
    let waiting: Waiting
    const held = new Promise<Hold>(resolve => { waiting = { bytes, grant: resolve } })
    const queue = this.#waiting.get(userId) ?? []
    this.#waiting.set(userId, queue)
    queue.push(waiting!)
    this.#advance()
    const positionOf = () => this.#order().indexOf(waiting) + 1
    return {
      held,
      get position () { return positionOf() },
      cancel: () => this.#cancel(userId, waiting)
    }
  }

  #cancel (userId: string, waiting: Waiting): void {
    const queue = this.#waiting.get(userId) ?? []
    const index = queue.indexOf(waiting)
    if (index < 0) return
    queue.splice(index, 1)
    if (queue.length === 0) this.#waiting.delete(userId)
    this.#advance()
  }

  /** Whether one waits for memory in general, and not for what its own user holds. */
  #isAnybodyBlocked (): boolean {
    return [...this.#waiting].some(([userId, [first]]) => this.#isWithinOwn(userId, first!.bytes))
  }

  #fits (userId: string, bytes: number): boolean {
    return this.#used === 0 || (this.#used + bytes <= this.capacity && this.#isWithinOwn(userId, bytes))
  }

  #isWithinOwn (userId: string, bytes: number): boolean {
    const own = this.#usedBy.get(userId) ?? 0
    return own === 0 || own + bytes <= this.capacity / 2
  }

  #hold (userId: string, bytes: number): Hold {
    let held = 0
    let isReleased = false
    const grow = (more: number): void => {
      if (isReleased) return
      held += more
      this.#change(userId, more)
    }
    grow(bytes)
    return {
      grow,
      release: () => {
        if (isReleased) return
        isReleased = true
        this.#change(userId, -held)
        this.#advance()
      }
    }
  }

  #change (userId: string, bytes: number): void {
    this.#used += bytes
    const own = (this.#usedBy.get(userId) ?? 0) + bytes
    if (own > 0) this.#usedBy.set(userId, own)
    else this.#usedBy.delete(userId)
  }

  /** Grants what fits, a request of each user in turn, until nothing does or somebody waits for memory in general. */
  #advance (): void {
    let granted: number
    do {
      granted = 0
      for (const [userId, queue] of [...this.#waiting]) {
        const { bytes } = queue[0]!
        if (this.#fits(userId, bytes)) {
          this.#grant(userId, queue)
          granted++
        } else if (this.#isWithinOwn(userId, bytes)) return
      }
    } while (granted > 0)
  }

  #grant (userId: string, queue: Waiting[]): void {
    const { bytes, grant } = queue.shift()!
    this.#waiting.delete(userId)
    if (queue.length > 0) this.#waiting.set(userId, queue)
    grant(this.#hold(userId, bytes))
  }

  #order (): Waiting[] {
    return inTurn([...this.#waiting.values()])
  }
}
