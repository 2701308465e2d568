import type { Socket } from 'node:net'
import { buildConnector } from 'undici'
import { Connection, type ConnectionEvents, onRead } from './connection.js'
import { Exchange, type ResponseHandler } from './exchange.js'
import type { ReadWindow } from './read-window.js'

export interface ClientOptions {
  /** What each request has beside its host and its length. */
  headers: Record<string, string>
  /** Milliseconds that a connection may take to be made. */
  connectTimeout: number
  /** Milliseconds for which the other side may say nothing while it is asked something. */
  silenceTimeout: number
  /** Milliseconds for which a connection is kept that nothing is asked on; less, where the other side says so. */
  idleTimeout: number
  /** Who says when connections are left unread; undefined: all are read as soon as something comes. */
  window?: ReadWindow
}

/** What one read of a socket may bring. */
const READ_BYTES = 64 * 1024
const SWEEP_MS = 1_000

/**
 * POSTs over HTTP/1.1 to one URL, whose answers are read as they come; undici connects, and speaks TLS.
 *
 * All sockets read into one block of memory, and what was read is handed on as it lies there. For streams of many small
 * pieces, of which each is a read, the buffers that streams and parsers would make of each are most of what it costs.
 */
export class HttpClient {
  readonly #connect: (target: buildConnector.Options, callback: (error: Error | null) => void) => Socket
  readonly #target: buildConnector.Options
  /** The lines of a request before its length. */
  readonly #head: string
  readonly #connections = new Set<Connection>()
  /** The one that was used last is the next: the others come to an end. */
  readonly #idle: Connection[] = []
  /** Those of which something was read in this turn of the event loop. */
  #read: Connection[] = []
  readonly #events: ConnectionEvents
  #sweep: NodeJS.Timeout | undefined
  #isClosed = false

  /** @throws {TypeError} for a URL that is none, and a header that cannot be sent. */
  constructor (url: string, private readonly options: ClientOptions) {
    const { protocol, host, hostname, port, pathname, search } = new URL(url)
    this.#head = `POST ${pathname}${search} HTTP/1.1\r\n${toLines({ host, connection: 'keep-alive', ...options.headers })}`
    this.#target = { protocol, host, port, hostname: hostname.replace(/^\[|\]$/g, '') }
    // Options that undici does not know are those of net.connect and tls.connect.
    const onread = { buffer: Buffer.allocUnsafeSlow(READ_BYTES), callback: onRead }
    this.#connect = buildConnector({ timeout: options.connectTimeout, onread } as buildConnector.BuildOptions) as never
    this.#events = {
      read: connection => { if (this.#read.push(connection) === 1) setImmediate(() => this.#endTurn()) },
      free: connection => { this.#idle.push(connection) },
      gone: connection => this.#forget(connection),
      unsent: exchange => this.#askAnew(exchange)
    }
  }

  /**
   * Asks once: what was sent and fails is not asked again.
   * @returns what can be given up.
   */
  post (body: string, handler: ResponseHandler): Pick<Exchange, 'abort'> {
    const exchange = new Exchange(`${this.#head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, handler)
    const connection = this.#takeIdle()
    if (connection) connection.ask(exchange)
    else this.#askAnew(exchange)
    return exchange
  }

  /** Ends all connections; who waits for an answer hears of it. */
  close (): void {
    this.#isClosed = true
    clearInterval(this.#sweep)
    this.options.window?.close()
    for (const connection of [...this.#connections]) connection.destroy(closedError())
  }

  /** TLS hands on a record by itself, many of which one read may bring: they are told together. */
  #endTurn (): void {
    const read = this.#read
    this.#read = []
    for (const connection of read) if (connection.endTurn()) this.options.window?.told(connection)
  }

  #askAnew (exchange: Exchange): void {
    const connection = new Connection(this.options.idleTimeout, this.#events)
    connection.ask(exchange)
    if (this.#isClosed) return queueMicrotask(() => connection.destroy(closedError()))
    this.#connections.add(connection)
    this.#sweep ??= this.#startSweep()
    try {
      connection.attach(this.#connect(this.#target, error => connection.connected(error)))
    } catch (error) {
      queueMicrotask(() => connection.destroy(error as Error))
    }
  }

  #takeIdle (): Connection | undefined {
    for (let connection = this.#idle.pop(); connection; connection = this.#idle.pop()) {
      if (connection.mayBeAsked) return connection
      connection.destroy(new Error('not used'))
    }
    return undefined
  }

  #forget (connection: Connection): void {
    this.#connections.delete(connection)
    const place = this.#idle.indexOf(connection)
    if (place !== -1) this.#idle.splice(place, 1)
  }

  /** One clock for all connections, not a timer each; it keeps no process alive, as no idle connection does. */
  #startSweep (): NodeJS.Timeout {
    const { silenceTimeout, idleTimeout } = this.options
    return setInterval(() => this.#sweepUp(), Math.min(SWEEP_MS, silenceTimeout, idleTimeout)).unref()
  }

  #sweepUp (): void {
    const now = performance.now()
    for (const connection of [...this.#connections]) connection.tick(now, this.options.silenceTimeout)
    if (this.#connections.size > 0) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }
}

function closedError (): Error {
  return new Error('the client was closed')
}

function toLines (headers: Record<string, string>): string {
  return Object.entries(headers).map(([name, value]) => {
    if (!/^[!#$%&'*+.^`|~\w-]+$/.test(name) || /[^\t -~]/.test(value)) throw new TypeError(`the header ${JSON.stringify(name)} has a character that cannot be sent`)
    return `${name}: ${value}\r\n`
  }).join('')
}
