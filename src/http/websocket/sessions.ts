import type { Caller } from '#shared/http/caller.ts'
import { GOODBYE_MS } from '../../shutdown.js'
import { CLOSE, type Session } from './protocol.js'

const TICK_MS = 1_000
const PING_MS = 30_000
/** With the 15 s that a call of the database may take, a connection whose caller has ended lasts 30 s at most. */
const CALLERS_MS = 15_000

export interface SessionsOptions {
  /** Finds the callers whose key or session was revoked, or whose user is gone. */
  findEnded (callers: Caller[]): Promise<Set<Caller>>
  /** Takes the error if they could not be looked up; they stay until the next time. */
  failed (error: unknown): void
}

/** The open WebSocket sessions, with one clock for all of them. */
export class Sessions extends Set<Session> {
  readonly #ticking = setInterval(() => this.#tick(), TICK_MS).unref()
  readonly #pinging = setInterval(() => this.#ping(), PING_MS).unref()
  readonly #checking = setInterval(() => { this.checkCallers().catch(error => this.options.failed(error)) }, CALLERS_MS).unref()
  #isChecking = false

  constructor (private readonly options: SessionsOptions) {
    super()
  }

  /** Ends the sessions whose caller has ended. Throws if that cannot be looked up. */
  async checkCallers (): Promise<void> {
    const callers = [...this].flatMap(({ caller }) => caller ?? [])
    if (this.#isChecking || callers.length === 0) return
    this.#isChecking = true
    try {
      const ended = await this.options.findEnded(callers)
      for (const session of this) {
        if (session.caller && ended.has(session.caller)) session.close(CLOSE.policy, 'the key, the session or the user is gone')
      }
    } finally {
      this.#isChecking = false
    }
  }

  /**
   * Says goodbye to all.
   * @param terminate ends the sockets that are still open after GOODBYE_MS.
   */
  close (terminate: () => void): void {
    for (const timer of [this.#ticking, this.#pinging, this.#checking]) clearInterval(timer)
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
