import { GOODBYE_MS } from '../../shutdown.js'
import { CLOSE, type Session } from './protocol.js'

const TICK_MS = 1_000
const PING_MS = 30_000

/** The open WebSocket sessions, with one clock for all of them. */
export class Sessions extends Set<Session> {
  readonly #ticking = setInterval(() => this.#tick(), TICK_MS).unref()
  readonly #pinging = setInterval(() => this.#ping(), PING_MS).unref()

  /**
   * Says goodbye to all.
   * @param terminate ends the sockets that are still open after GOODBYE_MS.
   */
  close (terminate: () => void): void {
    clearInterval(this.#ticking)
    clearInterval(this.#pinging)
    for (const session of this) session.close(CLOSE.restart, 'the server restarts')
    setTimeout(terminate, GOODBYE_MS).unref()
  }

  #tick (): void {
    const now = Date.now()
    for (const session of this) session.tick(now)
  }

  #ping (): void {
    for (const session of this) session.ping()
  }
}
