/** WebSocket close codes (RFC 6455 7.4.1 and IANA's registry). */
export const CLOSE = { policy: 1008, restart: 1012 }

export const SOCKET_PATH = '/ws'
export const SUBPROTOCOL = 'jeesi'

/** A connection as the plugin that keeps the time sees it. */
export interface Session {
  /** Once a second. */
  tick (now: number): void
  /** Every 30 s: the peer that has missed two is gone. */
  ping (): void
  /** Says goodbye, with a WebSocket close code. */
  close (code: number, reason: string): void
}
