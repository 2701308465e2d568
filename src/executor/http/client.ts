import type { Socket } from 'node:net'
import { buildConnector } from 'undici'
import { ResponseParser, type ResponseReader } from './response-parser.js'

/** Who hears what becomes of a request. */
export interface ResponseHandler extends ResponseReader {
  /** All that one read of the socket brought was handed over. */
  onPause (): void
  onEnd (): void
  /** There is no more to come; what came before was handed over. */
  onError (error: Error): void
}

export interface ClientOptions {
  /** Milliseconds that a connection may take to be made. */
  connectTimeout: number
  /** Milliseconds for which the other side may say nothing while it is asked something. */
  silenceTimeout: number
  /** Milliseconds for which a connection is kept that nothing is asked on; less, where the other side says so. */
  idleTimeout: number
}

export class SilenceTimeoutError extends Error {
  override name = 'SilenceTimeoutError'
}

/** What one read of a socket may bring. */
const READ_BYTES = 64 * 1024
const SWEEP_MS = 1_000

/** The connection whose socket it is. */
const owner = Symbol('connection')
type OwnedSocket = Socket & { [owner]?: Connection }

/**
 * POSTs over HTTP/1.1 to one origin, whose answers are read as they come; undici connects, and speaks TLS.
 *
 * All sockets read into one block of memory, and what was read is handed on as it lies there. For streams of many small
 * pieces, of which each is a read, the buffers that streams and parsers would make of each are most of what it costs.
 */
export class HttpClient {
  readonly #connect: (target: buildConnector.Options, callback: buildConnector.Callback) => Socket
  readonly #target: buildConnector.Options
  readonly #host: string
  readonly #connections = new Set<Connection>()
  /** The one that was used last is the next: the others come to an end. */
  readonly #idle: Connection[] = []
  #sweep: NodeJS.Timeout | undefined
  #isClosed = false

  /** @param origin its protocol, host and port. */
  constructor (origin: string, private readonly options: ClientOptions) {
    const { protocol, host, hostname, port } = new URL(origin)
    this.#host = host
    this.#target = { protocol, host, port, hostname: hostname.replace(/^\[|\]$/g, '') }
    // Options that undici does not know are those of net.connect and tls.connect.
    const onread = { buffer: Buffer.allocUnsafeSlow(READ_BYTES), callback: onRead }
    this.#connect = buildConnector({ timeout: options.connectTimeout, onread } as buildConnector.BuildOptions) as never
  }

  /**
   * Asks once; what fails is not asked again.
   * @param path with its query.
   * @returns what gives the request up: nothing more is told of it.
   */
  post (path: string, headers: Record<string, string>, body: string, handler: ResponseHandler): () => void {
    const lines = Object.entries({ host: this.#host, connection: 'keep-alive', ...headers, 'content-length': String(Buffer.byteLength(body)) })
    const request = `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`
    let connection = this.#idle.pop()
    const askAnew = () => {
      connection = this.#open()
      connection.ask(request, handler)
    }
    if (connection) connection.askAgain(request, handler, askAnew)
    else askAnew()
    return () => connection!.giveUp(handler)
  }

  /** Ends all connections; who waits for an answer hears of it. */
  close (): void {
    this.#isClosed = true
    clearInterval(this.#sweep)
    for (const connection of this.#connections) connection.destroy(new Error('the client was closed'))
  }

  #open (): Connection {
    const connection = new Connection(this.options.idleTimeout, {
      free: () => { this.#idle.push(connection) },
      gone: () => {
        this.#connections.delete(connection)
        const place = this.#idle.indexOf(connection)
        if (place !== -1) this.#idle.splice(place, 1)
      }
    })
    this.#connections.add(connection)
    this.#sweep ??= setInterval(() => this.#sweepUp(), SWEEP_MS).unref()
    if (this.#isClosed) queueMicrotask(() => connection.destroy(new Error('the client was closed')))
    else connection.attach(this.#connect(this.#target, (...[error]) => connection.connected(error)))
    return connection
  }

  /** One clock for all connections, not a timer each. */
  #sweepUp (): void {
    const now = Date.now()
    for (const connection of this.#connections) connection.tick(now, this.options.silenceTimeout)
    if (this.#connections.size > 0) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }
}

interface ConnectionEvents { free (): void, gone (): void }

/** One connection, on which one thing is asked at a time. */
class Connection {
  #socket: OwnedSocket | undefined
  #isConnected = false
  /** What is still to be sent. */
  #request: string | undefined
  #onUnsent: (() => void) | undefined
  #handler: ResponseHandler | undefined
  #parser: ResponseParser | undefined
  #idleUntil = Infinity
  /** Reads are counted, and looked at by the clock: to ask it at each would cost more than the count. */
  #reads = 0
  #seenReads = 0
  #seenAt = Date.now()
  #error: Error | undefined
  #isGone = false

  constructor (private readonly idleTimeout: number, private readonly on: ConnectionEvents) {}

  attach (socket: Socket): void {
    this.#socket = socket
    this.#socket[owner] = this
    socket.on('error', error => { this.#error ??= error })
    socket.on('end', () => this.#ended())
    socket.on('close', () => this.#closed())
  }

  connected (error: Error | null): void {
    if (error) return this.destroy(error)
    if (this.#isGone) return
    this.#isConnected = true
    this.#onUnsent = undefined
    this.#send()
  }

  ask (request: string, handler: ResponseHandler): void {
    this.#request = request
    this.#handler = handler
    this.#parser = new ResponseParser(handler)
    this.#idleUntil = Infinity
    this.#seenAt = Date.now()
    if (this.#isConnected) this.#send()
  }

  /**
   * The same on a connection that was used before: the other side may have ended it by now, and what is read next says so.
   * @param onUnsent is called where that is so, and nothing was sent.
   */
  askAgain (request: string, handler: ResponseHandler, onUnsent: () => void): void {
    this.#isConnected = false
    this.#onUnsent = onUnsent
    this.ask(request, handler)
    setImmediate(() => this.connected(null))
  }

  giveUp (handler: ResponseHandler): void {
    if (this.#handler !== handler) return
    this.#handler = undefined
    this.destroy(new Error('given up'))
  }

  destroy (error: Error): void {
    this.#error ??= error
    if (this.#socket && !this.#socket.destroyed) this.#socket.destroy()
    else this.#closed()
  }

  tick (now: number, silenceTimeout: number): void {
    if (now >= this.#idleUntil) return this.destroy(new Error('not used'))
    if (this.#reads !== this.#seenReads || !this.#isConnected || !this.#handler) {
      this.#seenReads = this.#reads
      this.#seenAt = now
    } else if (now - this.#seenAt >= silenceTimeout) {
      this.destroy(new SilenceTimeoutError('nothing came for too long'))
    }
  }

  read (bytes: Buffer): void {
    this.#reads++
    const [handler, parser] = [this.#handler, this.#parser]
    if (!handler || !parser) return this.destroy(new Error('nothing was asked'))
    try {
      parser.push(bytes)
    } catch (error) {
      return this.destroy(error as Error)
    }
    // It may have been given up meanwhile.
    if (this.#handler !== handler) return
    handler.onPause()
    if (this.#handler === handler && parser.isDone) this.#finish(handler, parser)
  }

  #send (): void {
    if (!this.#handler || this.#request === undefined) return
    this.#socket!.write(this.#request)
    this.#request = undefined
  }

  #finish (handler: ResponseHandler, parser: ResponseParser): void {
    this.#handler = this.#parser = undefined
    handler.onEnd()
    if (!parser.isPersistent || parser.idleMs === 0) return this.destroy(new Error('not to be used again'))
    this.#idleUntil = Date.now() + Math.min(this.idleTimeout, parser.idleMs)
    this.on.free()
  }

  #ended (): void {
    const [handler, parser] = [this.#handler, this.#parser]
    if (handler && parser?.end()) this.#finish(handler, parser)
    else this.destroy(new Error('the other side ended the connection'))
  }

  #closed (): void {
    if (this.#isGone) return
    this.#isGone = true
    const [handler, onUnsent] = [this.#handler, this.#onUnsent]
    this.#handler = this.#parser = undefined
    this.on.gone()
    if (handler && onUnsent) onUnsent()
    else handler?.onError(this.#error ?? new Error('the connection broke'))
  }
}

function onRead (this: OwnedSocket, size: number, bytes: Uint8Array): boolean {
  this[owner]?.read((bytes as Buffer).subarray(0, size))
  return true
}
