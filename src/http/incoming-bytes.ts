import { errors } from '#shared/errors.ts'

/** What each message may have before it counts, so that ordinary ones never wait for what large ones hold. */
const FREE_BYTES = 64 * 1024
/** Seconds after which a refused caller tries again. */
const RETRY_SECONDS = 5

/** A message that is on its way. */
export interface Incoming {
  /** @throws {ServiceError} server_busy, if no more bytes may be held. */
  grow (bytes: number): void
  /** It has arrived, or never will. */
  end (): void
}

/** The memory of messages that have not arrived as a whole: a budget for the process, and one for each caller. */
export class IncomingBytes {
  #total = 0
  readonly #ofCallers = new Map<string, number>()

  /**
   * @param max bytes of all callers.
   * @param maxOfCaller bytes of one caller.
   */
  constructor (private readonly max: number, private readonly maxOfCaller: number) {}

  /** @param caller undefined: only the budget of the process counts. */
  begin (caller: string | undefined): Incoming {
    let received = 0
    let held = 0
    return {
      grow: bytes => {
        received += bytes
        const more = Math.max(0, received - FREE_BYTES) - held
        if (more === 0) return
        this.#hold(caller, more)
        held += more
      },
      end: () => {
        this.#change(caller, -held)
        received = held = 0
      }
    }
  }

  #hold (caller: string | undefined, bytes: number): void {
    const ofCaller = caller === undefined ? 0 : this.#ofCallers.get(caller) ?? 0
    if (this.#total + bytes > this.max || ofCaller + bytes > this.maxOfCaller) throw errors.serverBusy().with({ retryAfter: RETRY_SECONDS })
    this.#change(caller, bytes)
  }

  #change (caller: string | undefined, bytes: number): void {
    this.#total += bytes
    if (caller === undefined) return
    const ofCaller = (this.#ofCallers.get(caller) ?? 0) + bytes
    if (ofCaller === 0) this.#ofCallers.delete(caller)
    else this.#ofCallers.set(caller, ofCaller)
  }
}
