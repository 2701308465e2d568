import type { ResponseReader } from './response-parser.js'

/** Receives one response. Nothing is called before `HttpClient.post` has returned. */
export interface ResponseHandler extends ResponseReader {
  /**
   * Called once per turn of the event loop in which a part of the response was read, after the last of these parts.
   * @returns whether it emitted something to readers: the connection may then be left unread for a moment (read-window.ts).
   */
  onReadsDone (): boolean
  /**
   * A number that grows with what the response is worth waiting for: bytes that do not raise it are silence. Undefined: all
   * bytes count.
   */
  readonly progress?: number
  onEnd (): void
  /** The response failed, or another method of this handler threw `error`. All that arrived before was passed on. */
  onError (error: Error): void
}

/** The server sent nothing of worth for `silenceTimeout` milliseconds. */
export class SilenceTimeoutError extends Error {
  override name = 'SilenceTimeoutError'
}

/** One request and its response. */
export class Exchange {
  connection: { abort (exchange: Exchange): void } | undefined

  /** @param request the bytes to send, head included; emptied once they are sent, to free the memory. */
  constructor (public request: string, readonly handler: ResponseHandler) {}

  get isSent (): boolean { return this.request === '' }

  /** Closes the connection; the handler is not called again. Does nothing after the response has ended. */
  abort (): void {
    this.connection!.abort(this)
  }
}
