import type { WebSocket } from 'ws'
import type { Caller } from '#shared/http/caller.ts'
import { GOODBYE_MS } from '../../shutdown.js'

/** WebSocket close codes (RFC 6455 7.4.1 and IANA's registry). */
export const CLOSE = { policy: 1008, tooBig: 1009, restart: 1012, tryAgainLater: 1013 }

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

/** Ends a connection to which goodbye was said: a peer that does not answer would hold it for half a minute. */
export function endSoon (socket: WebSocket): void {
  const ending = setTimeout(() => socket.terminate(), GOODBYE_MS).unref()
  socket.once('close', () => clearTimeout(ending))
}
