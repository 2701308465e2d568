import type { Socket } from 'node:net'
import { type Exchange, type ResponseHandler, SilenceTimeoutError } from './exchange.js'
import type { Source } from './read-window.js'
import { ResponseParser } from './response-parser.js'

export interface ConnectionEvents {
  /** Something of an answer was read: `endTurn` is to be called once this turn of the event loop has brought all it brings. */
  read (connection: Connection): void
  /** It may be asked something else. */
  free (connection: Connection): void
  gone (connection: Connection): void
  /** The other side had ended the connection before this was sent on it. */
  unsent (exchange: Exchange): void
}

/** The connection whose socket it is. */
const owner = Symbol('connection')
type OwnedSocket = Socket & { [owner]?: Connection }

/** One connection, on which one thing is asked at a time. */
export class Connection implements Source {
  windowEnd = 0
  #socket: OwnedSocket | undefined
  #exchange: Exchange | undefined
  #parser: ResponseParser | undefined
  #isConnected = false
  /** Whether the exchange's request was sent: what comes before that is no answer to it. */
  #isSent = false
  #idleUntil = Infinity
  /** Whether this turn's end is to come. */
  #isInTurn = false
  /** Whether it is not read: what it has to say is not heard. */
  #isPaused = false
  /** Reads are counted, and looked at by the clock: to ask it at each would cost more than the count. */
  #reads = 0
  #seenReads = 0
  #seenAt = 0
  #isGone = false

  constructor (private readonly idleTimeout: number, private readonly on: ConnectionEvents) {}

  /** Whether the other side is likely to listen still. */
  get mayBeAsked (): boolean {
    return !this.#isGone && !this.#socket!.destroyed && performance.now() < this.#idleUntil
  }

  /** @param socket it is being connected; `connected` is to be called once it is. */
  attach (socket: Socket): void {
    this.#socket = socket
    this.#socket[owner] = this
    socket.on('error', onError).on('end', onEnd).on('close', onClose)
  }

  connected (error: Error | null): void {
    if (error) return this.destroy(error)
    const socket = this.#socket!
    // The connector would listen on, and keep what it needed to connect.
    for (const listener of socket.listeners('error')) if (listener !== onError) socket.off('error', listener as () => void)
    this.#isConnected = true
    this.#send()
  }

  /**
   * Sends a request once there is a connection; on one that was used before, after a look at what it has to say: the
   * other side may have ended it by now.
   */
  ask (exchange: Exchange): void {
    exchange.connection = this
    this.#exchange = exchange
    this.#parser = new ResponseParser(exchange.handler)
    this.#isSent = false
    this.windowEnd = 0
    if (!this.#isConnected) return
    this.#idleUntil = Infinity
    this.#socket!.ref()
    // Sockets are read between the two, wherever in its turn the event loop is now.
    setImmediate(() => setImmediate(() => this.#send()))
  }

  giveUp (exchange: Exchange): void {
    if (this.#exchange !== exchange) return
    this.#exchange = undefined
    this.destroy(new Error('given up'))
  }

  /** Who waits for an answer is told of the error, unless something else ended the connection before. */
  destroy (error: Error): void {
    if (this.#isGone) return
    this.#isGone = true
    const exchange = this.#exchange
    this.#parser?.stop()
    this.#exchange = this.#parser = undefined
    this.#socket?.destroy()
    this.on.gone(this)
    if (!exchange) return
    if (this.#isConnected && !this.#isSent) this.on.unsent(exchange)
    else exchange.handler.onError(error)
  }

  /** @param now of `performance.now()`. */
  tick (now: number, silenceTimeout: number): void {
    const exchange = this.#exchange
    if (!exchange) {
      if (now >= this.#idleUntil) this.destroy(new Error('not used'))
    } else if (this.#isSent && (this.#isPaused || this.#reads !== this.#seenReads)) {
      this.#seenReads = this.#reads
      this.#seenAt = now
    } else if (this.#isSent && now - this.#seenAt >= silenceTimeout) {
      // Where it was this process that stood still, there is something to be read.
      setImmediate(() => this.#endSilence(exchange))
    }
  }

  read (bytes: Buffer, length = bytes.length): void {
    this.#reads++
    const exchange = this.#exchange
    const parser = this.#parser
    if (!exchange || !parser || !this.#isSent) return this.destroy(new Error('the other side spoke unasked'))
    try {
      parser.push(bytes, length)
    } catch (error) {
      return this.destroy(error as Error)
    }
    // It may have been given up meanwhile.
    if (this.#exchange !== exchange) return
    if (parser.isDone) return this.#finish(exchange.handler, parser)
    if (this.#isInTurn) return
    this.#isInTurn = true
    this.on.read(this)
  }

  /** Returns whether something of what was read was told. */
  endTurn (): boolean {
    this.#isInTurn = false
    try {
      return this.#exchange?.handler.onTurn() ?? false
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
    if (!this.#isGone) this.#socket!.resume()
  }

  #send (): void {
    const exchange = this.#exchange
    if (this.#isGone || !exchange) return
    // Its events may be still to come.
    if (this.#socket!.destroyed) return this.destroy(new Error('the connection broke'))
    this.#isSent = true
    this.#seenReads = this.#reads
    this.#seenAt = performance.now()
    this.#socket!.write(exchange.request)
    exchange.request = ''
  }

  #finish (handler: ResponseHandler, parser: ResponseParser): void {
    this.#exchange = this.#parser = undefined
    // An answer that came before all was sent is a refusal, after which the other side may not read on.
    if (parser.isPersistent && parser.idleMs > 0 && this.#socket!.writableLength === 0) {
      this.#idleUntil = performance.now() + Math.min(this.idleTimeout, parser.idleMs)
      this.#socket!.unref()
      this.on.free(this)
    } else {
      this.destroy(new Error('not to be used again'))
    }
    try {
      handler.onEnd()
    } catch (error) {
      handler.onError(error as Error)
    }
  }

  /** The other side says no more. */
  ended (): void {
    const exchange = this.#exchange
    const parser = this.#parser
    if (exchange && this.#isSent && parser?.end()) this.#finish(exchange.handler, parser)
    else this.destroy(new Error('the other side ended the connection'))
  }

  #endSilence (exchange: Exchange): void {
    if (this.#exchange !== exchange || this.#reads !== this.#seenReads) return
    this.destroy(new SilenceTimeoutError('nothing came for too long'))
  }
}

function onError (this: OwnedSocket, error: Error): void {
  this[owner]?.destroy(error)
}

function onEnd (this: OwnedSocket): void {
  this[owner]?.ended()
}

function onClose (this: OwnedSocket): void {
  this[owner]?.destroy(new Error('the connection broke'))
}

/** Of a socket's `onread` option. */
export function onRead (this: Socket, size: number, bytes: Uint8Array): boolean {
  (this as OwnedSocket)[owner]?.read(bytes as Buffer, size)
  return true
}
