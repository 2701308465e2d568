import { inTurn, isBeyondShare } from './share.js'

/** A request for a slot: it waits in the queue, has a slot, or has been released. */
export interface SlotTicket {
  /** Resolves when the ticket gets its slot; already resolved if a slot was free. */
  readonly turn: Promise<void>
  /** 0 if the ticket has a slot; otherwise its position in the queue, counted from 1. */
  readonly position: number
  /**
   * Calls `onMove` with the position of a waiting ticket, now and each time it improves. Far from its turn only every
   * halving is reported, or a queue of a thousand would cause a million calls.
   */
  watch (onMove: OnMove): void
  /** Releases the slot, or leaves the queue. Further calls do nothing. */
  release (): void
}

type OnMove = (position: number) => void

export interface SlotsOptions {
  /** Called with the error of an `onMove` that throws; the other tickets are moved and served nevertheless. */
  onError? (error: unknown): void
  /** How many tickets may have a slot at a time. */
  maxConcurrent: number
  /** How many of these may belong to one user. */
  maxPerUser: number
  /** How many tickets may wait before `acquire` refuses users who have a tenth of them or more. */
  maxWaiting: number
}

/**
 * A fair semaphore in one process: it limits the slots in total and per user. Freed slots go to the waiting users in turn
 * (round robin), so that a user with a hundred waiting tickets does not delay a user with one. The tickets of one user
 * are served in the order of their requests.
 */
export class Slots {
  #running = 0
  #waiting = 0
  /** In the order in which the users are served next. */
  #users = new Map<string, UserQueue>()
  readonly #ticketOwner: TicketOwner = {
    release: ticket => this.#release(ticket),
    positionOf: ticket => this.#order().indexOf(ticket) + 1
  }

  #onFreed?: () => void

  constructor (private readonly options: SlotsOptions) {}

  /** How many tickets have a slot. */
  get running (): number { return this.#running }
  /** How many slots no ticket has. */
  get free (): number { return Math.max(0, this.options.maxConcurrent - this.#running) }
  /** How many tickets wait for a slot. */
  get waiting (): number { return this.#waiting }

  /**
   * Requests a slot. Returns undefined if the ticket would have to wait, `maxWaiting` tickets wait already, and the user has
   * a tenth of these or more.
   */
  acquire (userId: string): SlotTicket | undefined {
    const ofUser = this.#users.get(userId)?.waiting.length ?? 0
    const isRefused = isBeyondShare(this.options.maxWaiting, this.#waiting + 1, ofUser + 1)
    return isRefused && !this.#isFree(userId) ? undefined : this.acquireOrWait(userId)
  }

  /** Requests a slot if one is free for this user now; returns undefined if the ticket would have to wait. */
  tryAcquire (userId: string): SlotTicket | undefined {
    return this.#isFree(userId) ? this.acquireOrWait(userId) : undefined
  }

  /** Takes a free slot regardless of `maxPerUser`, for work whose user's limit is kept elsewhere; undefined if none is free. */
  take (userId: string): SlotTicket | undefined {
    if (this.free === 0) return undefined
    const ticket = new QueuedTicket(userId, this.#ticketOwner)
    this.#grant(this.#queueOf(userId), ticket)
    return ticket
  }

  /** Calls `listener` whenever a ticket has returned its slot and those that wait have had their turn. */
  onFreed (listener: () => void): void {
    this.#onFreed = listener
  }

  /** Requests a slot regardless of `maxWaiting`, for work that must not be refused. */
  acquireOrWait (userId: string): SlotTicket {
    const queue = this.#queueOf(userId)
    const ticket = new QueuedTicket(userId, this.#ticketOwner)
    if (this.#isFree(userId)) {
      this.#grant(queue, ticket)
    } else {
      // A user who starts to wait queues up behind the users who wait already.
      if (queue.waiting.length === 0) this.#moveToEnd(userId, queue)
      queue.waiting.push(ticket)
      this.#waiting++
    }
    return ticket
  }

  /**
   * Whether a new ticket of this user gets a slot at once. The user's own waiting tickets go first. Other users' waiting
   * tickets do not matter: while a slot is free, each of them waits for its own user's limit.
   */
  #isFree (userId: string): boolean {
    const queue = this.#users.get(userId)
    return this.#running < this.options.maxConcurrent &&
      (!queue || (queue.waiting.length === 0 && queue.running < this.options.maxPerUser))
  }

  #queueOf (userId: string): UserQueue {
    let queue = this.#users.get(userId)
    if (!queue) {
      queue = { running: 0, waiting: [] }
      this.#users.set(userId, queue)
    }
    return queue
  }

  #hasSlot (queue: UserQueue): boolean {
    return this.#running < this.options.maxConcurrent && queue.running < this.options.maxPerUser
  }

  #grant (queue: UserQueue, ticket: QueuedTicket): void {
    this.#running++
    queue.running++
    ticket.grant()
  }

  #release (ticket: QueuedTicket): void {
    const { userId } = ticket
    const queue = this.#queueOf(userId)
    if (ticket.isGranted) {
      this.#running--
      queue.running--
    } else {
      queue.waiting.splice(queue.waiting.indexOf(ticket), 1)
      this.#waiting--
    }
    if (queue.running === 0 && queue.waiting.length === 0) this.#users.delete(userId)
    this.#advance()
    this.#onFreed?.()
  }

  /** Grants free slots to waiting tickets, then reports the new positions. */
  #advance (): void {
    if (this.#waiting === 0) return
    for (const [userId, queue] of [...this.#users]) {
      if (queue.waiting.length === 0 || !this.#hasSlot(queue)) continue
      this.#waiting--
      this.#grant(queue, queue.waiting.shift()!)
      this.#moveToEnd(userId, queue)
    }
    this.#order().forEach((ticket, index) => this.#report(ticket, index + 1))
  }

  /** One listener's failure is not the others'. */
  #report (ticket: QueuedTicket, position: number): void {
    try {
      ticket.moved(position)
    } catch (error) {
      this.options.onError?.(error)
    }
  }

  #moveToEnd (userId: string, queue: UserQueue): void {
    this.#users.delete(userId)
    this.#users.set(userId, queue)
  }

  /** The waiting tickets in the order in which they would be served now: round by round, one of each user. */
  #order (): QueuedTicket[] {
    return inTurn([...this.#users.values()].map(queue => queue.waiting))
  }
}

/** Up to this position every improvement is reported. */
const LAST_FEW = 5

interface UserQueue { running: number, waiting: QueuedTicket[] }

/** What a ticket needs of its semaphore. */
interface TicketOwner { release (ticket: QueuedTicket): void, positionOf (ticket: QueuedTicket): number }

class QueuedTicket implements SlotTicket {
  isGranted = false
  #turn?: Promise<void>
  #resolve?: () => void
  #onMove?: OnMove
  #isReleased = false
  /** The position that was reported last. */
  #reported = Infinity

  constructor (readonly userId: string, private readonly owner: TicketOwner) {}

  get position (): number { return this.isGranted ? 0 : this.owner.positionOf(this) }

  /** Created on demand: most tickets get a slot at once, and nobody awaits theirs. */
  get turn (): Promise<void> {
    this.#turn ??= this.isGranted ? Promise.resolve() : new Promise(resolve => { this.#resolve = resolve })
    return this.#turn
  }

  grant (): void {
    this.isGranted = true
    this.#resolve?.()
  }

  watch (onMove: OnMove): void {
    if (this.isGranted) return
    this.#onMove = onMove
    this.#reported = Infinity
    this.moved(this.position)
  }

  moved (position: number): void {
    if (!this.#onMove || position >= this.#reported || (position > LAST_FEW && position > this.#reported / 2)) return
    this.#reported = position
    this.#onMove(position)
  }

  release (): void {
    if (this.#isReleased) return
    this.#isReleased = true
    this.owner.release(this)
  }
}
