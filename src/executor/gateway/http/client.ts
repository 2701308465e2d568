import type { Socket } from 'node:net'
import { buildConnector } from 'undici'
import { isHeaderName } from '#shared/http/header-value.ts'
import { Connection, type ConnectionEvents, onRead } from './connection.js'
import { Delivery } from './delivery.js'
import { Exchange, type ResponseHandler } from './exchange.js'
import type { ReadWindow } from './read-window.js'

export interface ClientOptions {
  /** Sent with every request, besides `host` and `content-length`. */
  headers: Record<string, string>
  /** The time limit for opening a connection, in milliseconds. */
  connectTimeout: number
  /** How many milliseconds the server may send nothing during an exchange that counts as progress for its handler. */
  silenceTimeout: number
  /** How many milliseconds an idle connection is kept; the server's `keep-alive` header can shorten it. */
  idleTimeout: number
  /** Pauses connections under load to read them in batches; undefined: every connection is read at once. */
  window?: ReadWindow
}

/** The size of the block into which all sockets read. */
const READ_BYTES = 64 * 1024
const TIMEOUT_CHECK_MS = 1_000

/**
 * Sends POST requests over HTTP/1.1 to one URL, or where that redirects them on the same host, and passes on their responses
 * while they arrive. Connections and TLS are undici's.
 *
 * All sockets read into one block of memory, and handlers receive the bytes in place. A token stream consists of many
 * small reads, for which the buffers that streams and parsers allocate would be most of the cost.
 */
export class HttpClient {
  readonly #connect: (target: buildConnector.Options, callback: (error: Error | null) => void) => Socket
  readonly #target: buildConnector.Options
  readonly #url: URL
  /** The headers up to `content-length`. */
  readonly #headers: string
  /** For the same host by TLS, if it redirects there. */
  #secured: HttpClient | undefined
  readonly #connections = new Set<Connection>()
  /** A stack: the connection that was used last is used next, and surplus ones reach their idle timeout. */
  readonly #idle: Connection[] = []
  /** The connections that were read in this turn of the event loop. */
  #read: Connection[] = []
  readonly #events: ConnectionEvents
  #timeoutCheck: NodeJS.Timeout | undefined
  #isClosed = false

  /** @throws {TypeError} if the URL is invalid, or a header has a character that cannot be sent. */
  constructor (url: string, private readonly options: ClientOptions) {
    this.#url = new URL(url)
    const { protocol, host, hostname, port } = this.#url
    this.#headers = toLines({ host, connection: 'keep-alive', 'accept-encoding': 'identity', ...options.headers })
    this.#target = { protocol, host, port, hostname: hostname.replace(/^\[|\]$/g, '') }
    // undici passes options that it does not know to net.connect and tls.connect.
    const onread = { buffer: Buffer.allocUnsafeSlow(READ_BYTES), callback: onRead }
    this.#connect = buildConnector({ timeout: options.connectTimeout, onread } as buildConnector.BuildOptions) as never
    this.#events = {
      read: connection => { if (this.#read.push(connection) === 1) setImmediate(() => this.#finishReads()) },
      idle: connection => { this.#idle.push(connection) },
      closed: connection => this.#remove(connection),
      unsent: exchange => this.#sendOnNew(exchange)
    }
  }

  /**
   * Sends a request. It is never sent twice, unless it is redirected: a request that was sent and fails is reported to the
   * handler.
   * @param body JSON, or any other text.
   * @param headers beside those of all requests.
   */
  post (body: string, handler: ResponseHandler, headers: Record<string, string> = {}): Pick<Exchange, 'abort' | 'isSent'> {
    const lines = toLines(headers)
    return new Delivery(this.#url, body, handler, (url, body, handler) => this.#clientFor(url).#send(url, body, handler, lines))
  }

  /** The same name has another origin only by TLS, see `redirectOf`. */
  #clientFor (url: URL): HttpClient {
    // A client that is closed refuses.
    if (url.origin === this.#url.origin || this.#isClosed) return this
    this.#secured ??= new HttpClient(url.href, this.options)
    return this.#secured
  }

  /** @param lines the headers of this request alone. */
  #send ({ pathname, search }: URL, body: string, handler: ResponseHandler, lines: string): Exchange {
    const exchange = new Exchange(`POST ${pathname}${search} HTTP/1.1\r\n${this.#headers}${lines}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, handler)
    const connection = this.#takeIdle()
    if (connection) connection.send(exchange)
    else this.#sendOnNew(exchange)
    return exchange
  }

  /** Closes all connections. Exchanges that are under way, and later ones, fail. */
  close (): void {
    this.#isClosed = true
    clearInterval(this.#timeoutCheck)
    this.options.window?.close()
    this.#secured?.close()
    for (const connection of [...this.#connections]) connection.destroy(closedError())
  }

  /** Ends the batch: one read of a TLS socket can deliver many records, each in a call of its own. */
  #finishReads (): void {
    const read = this.#read
    this.#read = []
    for (const connection of read) if (connection.finishReads()) this.options.window?.onEmit(connection)
  }

  #sendOnNew (exchange: Exchange): void {
    const connection = new Connection(this.options.idleTimeout, this.#events)
    connection.send(exchange)
    if (this.#isClosed) return queueMicrotask(() => connection.destroy(closedError()))
    this.#connections.add(connection)
    this.#timeoutCheck ??= this.#startTimeoutCheck()
    try {
      connection.attach(this.#connect(this.#target, error => connection.onConnected(error)))
    } catch (error) {
      queueMicrotask(() => connection.destroy(error as Error))
    }
  }

  #takeIdle (): Connection | undefined {
    for (let connection = this.#idle.pop(); connection; connection = this.#idle.pop()) {
      if (connection.isReusable) return connection
      connection.destroy(new Error('The connection was idle for too long.'))
    }
    return undefined
  }

  #remove (connection: Connection): void {
    this.#connections.delete(connection)
    const index = this.#idle.indexOf(connection)
    if (index !== -1) this.#idle.splice(index, 1)
  }

  /** One timer for all connections. Like idle connections, it does not keep the process alive. */
  #startTimeoutCheck (): NodeJS.Timeout {
    const { silenceTimeout, idleTimeout } = this.options
    return setInterval(() => this.#checkTimeouts(), Math.min(TIMEOUT_CHECK_MS, silenceTimeout, idleTimeout)).unref()
  }

  #checkTimeouts (): void {
    const now = performance.now()
    for (const connection of [...this.#connections]) connection.checkTimeouts(now, this.options.silenceTimeout)
    if (this.#connections.size > 0) return
    clearInterval(this.#timeoutCheck)
    this.#timeoutCheck = undefined
  }
}

function closedError (): Error {
  return new Error('The HTTP client was closed.')
}

function toLines (headers: Record<string, string>): string {
  return Object.entries(headers).map(([name, value]) => {
    if (!isHeaderName(name) || /[^\t -~]/.test(value)) throw new TypeError(`The header ${JSON.stringify(name)} has a character that cannot be sent.`)
    return `${name}: ${value}\r\n`
  }).join('')
}
