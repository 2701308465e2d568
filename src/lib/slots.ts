/** A place in the line, or a slot. */
export interface SlotTicket {
  /** Resolves when the run may go on; at once where a slot was free. */
  readonly turn: Promise<void>
  /** 0: has its slot; 1: the next to get one … */
  readonly position: number
  /** Tells the position of a run that waits, now and as it gets better. */
  watch (onMove: OnMove): void
  /** Gives the slot or the place back. Again: nothing happens. */
  release (): void
}

export interface SlotsOptions {
  maxConcurrent: number
  maxPerUser: number
  maxWaiting: number
}

/**
 * Who runs when, in one process: so many runs at once, so many of them one user's. Whoever waits is served in
 * turn by user, so that a user with a hundred runs does not stand before one with a single run.
 */
export class Slots {
  #running = 0
  #waiting = 0
  #users = new Map<string, UserQueue>()
  readonly #keeper: TicketOwner = { leave: place => this.#leave(place), positionOf: place => this.#order().indexOf(place) + 1 }

  constructor (private readonly options: SlotsOptions) {}

  get running (): number { return this.#running }
  get waiting (): number { return this.#waiting }

  /** Takes a slot or a place; undefined: too many wait. */
  acquire (userId: string): SlotTicket | undefined {
    const isFull = this.#waiting >= this.options.maxWaiting
    return isFull && !this.#isFree(userId) ? undefined : this.acquireOrWait(userId)
  }

  /** Takes a slot, or a place even in a full line: for a run that has begun before and has to go on. */
  acquireOrWait (userId: string): SlotTicket {
    const line = this.#lineOf(userId)
    const place = new QueuedTicket(userId, this.#keeper)
    if (this.#isFree(userId)) {
      this.#admit(line, place)
    } else {
      // Behind those who wait already, not where its user's runs happened to begin.
      if (line.waiting.length === 0) this.#moveToEnd(userId, line)
      line.waiting.push(place)
      this.#waiting++
    }
    return place
  }

  /** Whether a user's next run has its slot at once. Own earlier runs go first; those of others wait for their own slots, or there would be none. */
  #isFree (userId: string): boolean {
    const line = this.#users.get(userId)
    return this.#running < this.options.maxConcurrent &&
      (!line || (line.waiting.length === 0 && line.running < this.options.maxPerUser))
  }

  #lineOf (userId: string): UserQueue {
    let line = this.#users.get(userId)
    if (!line) {
      line = { running: 0, waiting: [] }
      this.#users.set(userId, line)
    }
    return line
  }

  #hasSlot (line: UserQueue): boolean {
    return this.#running < this.options.maxConcurrent && line.running < this.options.maxPerUser
  }

  #admit (line: UserQueue, place: QueuedTicket): void {
    this.#running++
    line.running++
    place.admit()
  }

  #leave (place: QueuedTicket): void {
    const { userId } = place
    const line = this.#lineOf(userId)
    if (place.admitted) {
      this.#running--
      line.running--
    } else {
      line.waiting.splice(line.waiting.indexOf(place), 1)
      this.#waiting--
    }
    this.#drop(userId, line)
    this.#advance()
  }

  #drop (userId: string, line: UserQueue): void {
    if (line.running === 0 && line.waiting.length === 0) this.#users.delete(userId)
  }

  #advance (): void {
    if (this.#waiting === 0) return
    for (const [userId, line] of [...this.#users]) {
      if (line.waiting.length === 0 || !this.#hasSlot(line)) continue
      this.#waiting--
      this.#admit(line, line.waiting.shift()!)
      this.#moveToEnd(userId, line)
    }
    this.#order().forEach((place, index) => place.moved(index + 1))
  }

  #moveToEnd (userId: string, line: UserQueue): void {
    this.#users.delete(userId)
    this.#users.set(userId, line)
  }

  /** Those who wait in the order they will be served, as far as it is known now: round by round, one of each user. */
  #order (): QueuedTicket[] {
    const lines = [...this.#users.values()].map(line => line.waiting)
    const rounds = Math.max(0, ...lines.map(line => line.length))
    return Array.from({ length: rounds }, (_, round) => lines.flatMap(line => line[round] ?? [])).flat()
  }
}

type OnMove = (position: number) => void

const LAST_FEW = 5

interface UserQueue { running: number, waiting: QueuedTicket[] }

/** Whose a place is. */
interface TicketOwner { leave (place: QueuedTicket): void, positionOf (place: QueuedTicket): number }

class QueuedTicket implements SlotTicket {
  admitted = false
  #turn?: Promise<void>
  #resolve?: () => void
  #onMove?: OnMove
  #left = false
  #told = Infinity

  constructor (readonly userId: string, private readonly keeper: TicketOwner) {}

  get position (): number { return this.admitted ? 0 : this.keeper.positionOf(this) }

  /** Made where it is waited for: most have their slot at once, and keep their place for as long as they run. */
  get turn (): Promise<void> {
    this.#turn ??= this.admitted ? Promise.resolve() : new Promise(resolve => { this.#resolve = resolve })
    return this.#turn
  }

  admit (): void {
    this.admitted = true
    this.#resolve?.()
  }

  watch (onMove: OnMove): void {
    if (this.admitted) return
    this.#onMove = onMove
    this.#told = Infinity
    this.moved(this.position)
  }

  /** Far from its turn a place tells only when it has got twice as near: a thousand who wait are not told a million times. */
  moved (position: number): void {
    if (!this.#onMove || position >= this.#told || (position > LAST_FEW && position > this.#told / 2)) return
    this.#told = position
    this.#onMove(position)
  }

  release (): void {
    if (this.#left) return
    this.#left = true
    this.keeper.leave(this)
  }
}
