import { INPUT_COST } from '../../lib/memory/memory-budget.js'
import type { Hold, MemoryShare, MemoryWait } from '../../lib/memory/memory-share.js'
import type { Slots, SlotTicket } from '../../lib/slots.js'

/** Of what a run takes its slot and its memory. */
export interface RunResources { slots: Slots, memory: MemoryShare }

/** An input that is larger than all of it is still taken by a process that has no other. */
const MAX_INPUT = 256 * 1024 * 1024

/** For how many bytes of inputs as JSON there is memory. */
export function roomFor (memory: MemoryShare): number {
  return memory.room === Infinity ? MAX_INPUT : Math.floor(memory.room / INPUT_COST)
}

/**
 * A ticket for a slot and the memory of a large input. Who has a slot does not wait for memory: if there is none, the
 * slot is returned, so that others' runs go on, and requested anew with the memory in hand.
 */
export class MemoryTicket implements SlotTicket {
  readonly turn: Promise<void>
  readonly #bytes: number
  #hold?: Hold
  #wait?: MemoryWait
  #onMove?: (position: number) => void
  #isReleased = false

  /**
   * @param slot a ticket for the slot, which this one replaces.
   * @param inputBytes the size of the input as JSON.
   */
  constructor (private readonly resources: RunResources, private readonly userId: string, inputBytes: number, private slot: SlotTicket) {
    this.#bytes = inputBytes * INPUT_COST
    if (slot.position === 0) this.#hold = resources.memory.tryTake(userId, this.#bytes)
    this.turn = this.#hold ? Promise.resolve() : this.#obtain()
  }

  get position (): number {
    if (this.#wait) return Math.max(1, this.#wait.position)
    return this.#hold ? this.slot.position : Math.max(1, this.slot.position)
  }

  watch (onMove: (position: number) => void): void {
    if (this.position === 0) return
    this.#onMove = onMove
    if (this.#wait) onMove(this.position)
    else this.slot.watch(onMove)
  }

  release (): void {
    if (this.#isReleased) return
    this.#isReleased = true
    this.#wait?.cancel()
    this.#hold?.release()
    this.slot.release()
  }

  async #obtain (): Promise<void> {
    const { slots, memory } = this.resources
    await this.slot.turn
    if (this.#isReleased) return
    this.#hold = memory.tryTake(this.userId, this.#bytes)
    if (this.#hold) return
    this.slot.release()
    this.#wait = memory.take(this.userId, this.#bytes)
    this.#onMove?.(this.position)
    const hold = await this.#wait.held
    this.#wait = undefined
    if (this.#isReleased) return hold.release()
    this.#hold = hold
    this.slot = slots.acquireOrWait(this.userId)
    if (this.#onMove) this.slot.watch(this.#onMove)
    await this.slot.turn
  }
}
