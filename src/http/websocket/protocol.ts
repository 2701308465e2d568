import type { Caller } from '#shared/http/caller.ts'

/** WebSocket close codes (RFC 6455 7.4.1 and IANA's registry). */
export const CLOSE = { policy: 1008, restart: 1012, tryAgainLater: 1013 }

export const SOCKET_PATH = '/ws'
export const SUBPROTOCOL = 'jeesi'

/** A connection as the plugin that keeps the time sees it. */
export interface Session {
  /** Whose it is; undefined until that is known. */
  readonly caller?: Caller
  /** Once a second. */
  tick (now: number): void
  /** Every 30 s: the peer that has missed two is gone. */
  ping (): void
  /** Says goodbye, with a WebSocket close code, and ends the connection soon, whether the peer answers or not. */
  close (code: number, reason: string): void
}
