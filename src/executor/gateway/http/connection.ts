import type { Socket } from 'node:net'
import { type Exchange, type ResponseHandler, SilenceTimeoutError } from './exchange.js'
import type { PausableSource } from './read-window.js'
import { ResponseParser } from './response-parser.js'

/** What a connection reports to the client that owns it. */
export interface ConnectionEvents {
  /** A part of a response was read for the first time in this turn of the event loop: call `finishReads` at the turn's end. */
  read (connection: Connection): void
  /** The response has ended and the connection can carry another request. */
  idle (connection: Connection): void
  closed (connection: Connection): void
  /** The server closed the connection before the request was sent: it can be sent on another one. */
  unsent (exchange: Exchange): void
}

/** Leads from a socket to its connection, so that sockets share their listeners instead of having closures each. */
const owner = Symbol('connection')
type OwnedSocket = Socket & { [owner]?: Connection }

/** One connection to the server. It carries one exchange at a time, without pipelining. */
export class Connection implements PausableSource {
  windowEnd = 0
  #socket: OwnedSocket | undefined
  #exchange: Exchange | undefined
  #parser: ResponseParser | undefined
  #isConnected = false
  /** Whether the request was sent. Bytes that arrive before that do not belong to its response. */
  #isSent = false
  /** On the clock of `performance.now()`, as `#seenAt`. */
  #idleUntil = Infinity
  /** Whether `finishReads` is still to be called in this turn of the event loop. */
  #isReading = false
  /** Whether the socket is paused; the silence timeout does not run then. */
  #isPaused = false
  #reads = 0
  /** The progress at the last look. Silence is detected by comparing it at intervals, because reading the clock at every read costs more. */
  #seenProgress = 0
  #seenAt = 0
  #isClosed = false

  constructor (private readonly idleTimeout: number, private readonly on: ConnectionEvents) {}

  /** Whether the server probably still reads from an idle connection. */
  get isReusable (): boolean {
    return !this.#isClosed && !this.#socket!.destroyed && performance.now() < this.#idleUntil
  }

  /** @param socket one that is still connecting: call `onConnected` with the outcome. */
  attach (socket: Socket): void {
    this.#socket = socket
    this.#socket[owner] = this
    socket.on('error', onError).on('end', onEnd).on('close', onClose)
  }

  onConnected (error: Error | null): void {
    if (error) return this.destroy(error)
    const socket = this.#socket!
    // The connector's own listener would keep its options and its callback in memory.
    for (const listener of socket.listeners('error')) if (listener !== onError) socket.off('error', listener as () => void)
    this.#isConnected = true
    this.#write()
  }

  /**
   * Sends a request as soon as the socket is connected. A reused socket is read once first, because the server may have
   * closed it meanwhile.
   */
  send (exchange: Exchange): void {
    exchange.connection = this
    this.#exchange = exchange
    this.#parser = new ResponseParser(exchange.handler)
    this.#isSent = false
    this.windowEnd = 0
    if (!this.#isConnected) return
    this.#idleUntil = Infinity
    this.#socket!.ref()
    // The event loop polls sockets between two immediates, whatever phase it is in now.
    setImmediate(() => setImmediate(() => this.#write()))
  }

  /** Closes the connection if it still carries this exchange, without calling its handler. */
  abort (exchange: Exchange): void {
    if (this.#exchange !== exchange) return
    this.#exchange = undefined
    this.destroy(new Error('The request was aborted.'))
  }

  /** Closes the connection. Its exchange fails with this error, or is reported as unsent. Later calls do nothing. */
  destroy (error: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const exchange = this.#exchange
    this.#parser?.stop()
    this.#exchange = this.#parser = undefined
    this.#socket?.destroy()
    this.on.closed(this)
    if (!exchange) return
    if (this.#isConnected && !this.#isSent) this.on.unsent(exchange)
    else exchange.handler.onError(error)
  }

  /**
   * Closes the connection after too much silence or too long an idle time. The client calls it at intervals.
   * @param now from `performance.now()`.
   * @param silenceTimeout in milliseconds.
   */
  checkTimeouts (now: number, silenceTimeout: number): void {
    const exchange = this.#exchange
    if (!exchange) {
      if (now >= this.#idleUntil) this.destroy(new Error('The connection was idle for too long.'))
    } else if (this.#isSent && (this.#isPaused || this.#progressOf(exchange) !== this.#seenProgress)) {
      this.#seenProgress = this.#progressOf(exchange)
      this.#seenAt = now
    } else if (this.#isSent && now - this.#seenAt >= silenceTimeout) {
      // If it was this process that hung, there are bytes to read: the sockets are polled before the immediate.
      setImmediate(() => this.#endSilence(exchange))
    }
  }

  /** @param length the number of bytes that were read; they are valid only during this call. */
  read (bytes: Buffer, length = bytes.length): void {
    this.#reads++
    const exchange = this.#exchange
    const parser = this.#parser
    if (!exchange || !parser || !this.#isSent) return this.destroy(new Error('The server sent bytes without a request.'))
    try {
      parser.push(bytes, length)
    } catch (error) {
      return this.destroy(error as Error)
    }
    // The handler may have aborted the exchange.
    if (this.#exchange !== exchange) return
    if (parser.isDone) return this.#finish(exchange.handler, parser)
    if (this.#isReading) return
    this.#isReading = true
    this.on.read(this)
  }

  /** Ends a turn of the event loop in which something was read. Returns whether the handler emitted something. */
  finishReads (): boolean {
    this.#isReading = false
    try {
      return this.#exchange?.handler.onReadsDone() ?? false
    } catch (error) {
      this.destroy(error as Error)
      return false
    }
  }

  pause (): void {
    this.#isPaused = true
    this.#socket!.pause()
  }

  resume (): void {
    this.#isPaused = false
    if (!this.#isClosed) this.#socket!.resume()
  }

  #write (): void {
    const exchange = this.#exchange
    if (this.#isClosed || !exchange) return
    // The socket's events may not have been emitted yet.
    if (this.#socket!.destroyed) return this.destroy(new Error('The connection broke.'))
    this.#isSent = true
    this.#seenProgress = this.#progressOf(exchange)
    this.#seenAt = performance.now()
    this.#socket!.write(exchange.request)
    exchange.request = ''
  }

  /** The response has ended. The connection is free before `onEnd` is called, so that the next request can reuse it. */
  #finish (handler: ResponseHandler, parser: ResponseParser): void {
    this.#exchange = this.#parser = undefined
    // A response that arrives before the whole request was sent is a refusal: the server may not read the rest.
    if (parser.isPersistent && parser.idleMs > 0 && this.#socket!.writableLength === 0) {
      this.#idleUntil = performance.now() + Math.min(this.idleTimeout, parser.idleMs)
      this.#socket!.unref()
      this.on.idle(this)
    } else {
      this.destroy(new Error('The connection cannot be reused.'))
    }
    try {
      handler.onEnd()
    } catch (error) {
      handler.onError(error as Error)
    }
  }

  /** The server has closed its side of the connection. */
  handleEnd (): void {
    const exchange = this.#exchange
    const parser = this.#parser
    if (exchange && this.#isSent && parser?.end()) this.#finish(exchange.handler, parser)
    else this.destroy(new Error('The server closed the connection.'))
  }

  #endSilence (exchange: Exchange): void {
    if (this.#exchange !== exchange || this.#progressOf(exchange) !== this.#seenProgress) return
    this.destroy(new SilenceTimeoutError('The server sent nothing of worth for too long.'))
  }

  #progressOf ({ handler }: Exchange): number {
    return handler.progress ?? this.#reads
  }
}

function onError (this: OwnedSocket, error: Error): void {
  this[owner]?.destroy(error)
}

function onEnd (this: OwnedSocket): void {
  this[owner]?.handleEnd()
}

function onClose (this: OwnedSocket): void {
  this[owner]?.destroy(new Error('The connection broke.'))
}

/** The callback of the sockets' `onread` option: returning true keeps them reading. */
export function onRead (this: Socket, size: number, bytes: Uint8Array): boolean {
  (this as OwnedSocket)[owner]?.read(bytes as Buffer, size)
  return true
}
