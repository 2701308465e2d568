import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis, type RedisOptions } from 'ioredis'
import type { Logger } from 'pino'
import type { RedisConfig } from '../config/backing-services.js'
import { explainRefusal, judgeServer, UnfitRedisError } from './fitness.js'
import { MARKER, PROBE_CHANNEL } from './keys.js'

/** How long `connect` waits for a first answer. */
const FIRST_ANSWER_MS = 2_000
/** The interval at which the link checks that Redis answers and still has its data. */
const CHECK_MS = 1_000
/** A command that takes longer fails; its caller goes on without Redis. */
const COMMAND_TIMEOUT_MS = 2_000
const CONNECT_TIMEOUT_MS = 5_000
/** A connection without an answer for longer than its commands may take is dead, even if nobody has closed it. */
const DEAD_COMMANDS_MS = 2 * COMMAND_TIMEOUT_MS
/** The same for connections with blocking commands; longer than any of these blocks. */
const DEAD_BLOCKING_MS = 15_000
const MAX_RECONNECT_MS = 1_000

interface LinkEvents {
  /** Redis is available again. */
  up: []
  /** Redis is no longer available. */
  down: []
  /** Redis has lost its data, or is new. */
  cleared: []
}

/** The connections to Redis. It knows whether Redis is available, and logs and emits when that changes. */
export class RedisLink extends EventEmitter<LinkEvents> {
  /** The connection for commands that are answered at once. They fail instead of waiting for a reconnect. */
  readonly commands: Redis
  #isUp = false
  #server = ''
  /** The last error of a connection, in words. */
  #lastError: string | undefined
  #connections: Redis[] = []
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (private readonly config: RedisConfig, private readonly log: Pick<Logger, 'info' | 'warn' | 'error'>) {
    super()
    this.commands = this.#open({ enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: COMMAND_TIMEOUT_MS, socketTimeout: DEAD_COMMANDS_MS })
  }

  /** Whether Redis answered the last check. */
  get isUp (): boolean { return this.#isUp }

  /** The `run_id` of the Redis process. After a restart it differs, and the process may have less data. */
  get server (): string { return this.#server }

  /** Opens a connection for blocking commands, or for commands that wait for a reconnect. It is closed with the link. */
  openConnection (options: RedisOptions = {}): Redis {
    return this.#open({ maxRetriesPerRequest: null, socketTimeout: DEAD_BLOCKING_MS, ...options })
  }

  /**
   * Waits for a first answer, for FIRST_ANSWER_MS at the most: a Redis that is away is not an error, the link keeps trying.
   * @throws {UnfitRedisError} if the server is not fit for this service, or refuses access.
   */
  async connect (): Promise<void> {
    const timeout = delay(FIRST_ANSWER_MS, undefined, { ref: false })
    const refused = new Promise<string>(resolve => this.commands.on('error', error => {
      const refusal = explainRefusal(error)
      if (refusal) resolve(refusal)
    }))
    const refusal = await Promise.race([this.#whenReady().then(() => this.#examine()).catch(() => undefined), refused, timeout])
    if (refusal) throw new UnfitRedisError(`REDIS_URL: ${refusal}`)
    // A server without TLS does not answer a TLS handshake.
    const hint = this.config.url.startsWith('rediss:') ? ' (does it speak TLS?)' : ''
    if (!this.#isUp) this.#setState(false, this.#lastError ?? `it has not answered for ${FIRST_ANSWER_MS / 1000} s${hint}`, true)
    this.#timer = setInterval(() => this.#check(), CHECK_MS).unref()
    // After a reconnect it may be another server, which is examined at once.
    this.commands.on('ready', () => this.#reexamine())
  }

  close (): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    for (const connection of this.#connections) disconnect(connection)
  }

  #open (options: RedisOptions): Redis {
    const { url, ca } = this.config
    const connection = new Redis(url, {
      // IPv4 and IPv6: Railway's private network has only the latter.
      family: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      retryStrategy: times => Math.min(50 * 2 ** times, MAX_RECONNECT_MS),
      // RESP3 has no advantage here, and proxies may not support it.
      protocol: 2,
      // After a failover the old primary is a replica.
      reconnectOnError: error => error.message.startsWith('READONLY'),
      ...(ca && url.startsWith('rediss:') ? { tls: { ca } } : {}),
      ...options
    })
    // Without a listener ioredis writes errors to the console.
    connection.on('error', error => { this.#lastError = describe(error) })
    this.#connections.push(connection)
    // A BullMQ worker duplicates its connection, and never closes a duplicate that has not become ready. This one is closed
    // with the link.
    connection.duplicate = override => this.#open({ ...options, ...override })
    return connection
  }

  async #whenReady (): Promise<void> {
    if (this.commands.status !== 'ready') await new Promise<void>(resolve => { this.commands.once('ready', resolve) })
  }

  /** Examines the server. Returns why it is not fit or refuses access; undefined if it is usable. */
  async #examine (): Promise<string | undefined> {
    try {
      const info = await this.commands.info()
      const unfit = judgeServer(info)
      if (unfit) return unfit
      this.#server = /^run_id:(\w+)/m.exec(info)?.[1] ?? ''
      await this.#setMarker()
      // An old user may have no permission for channels; nobody listens to this one.
      await this.commands.publish(PROBE_CHANNEL, '')
      this.#setState(true)
    } catch (error) {
      const refusal = explainRefusal(error as Error)
      if (!refusal) throw error
      return refusal
    }
  }

  async #check (): Promise<void> {
    if (!this.#isUp) return this.#reexamine()
    await this.#setMarker().catch(error => this.#fail(error))
  }

  async #reexamine (): Promise<void> {
    try {
      const unfit = await this.#examine()
      if (unfit) this.#setState(false, unfit)
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  #fail (error: Error): void {
    // The error of a command without a connection does not say why there is none.
    const isConnected = this.commands.status === 'ready'
    this.#setState(false, isConnected ? describe(error) : this.#lastError ?? 'it cannot be reached')
  }

  /** Sets the marker if it is missing, which shows that Redis has lost its data. */
  async #setMarker (): Promise<void> {
    if (await this.commands.set(MARKER, '1', 'NX')) this.emit('cleared')
  }

  #setState (isUp: boolean, reason = '', isNews = isUp !== this.#isUp): void {
    this.#isUp = isUp
    if (!isNews || this.#isClosed) return
    if (isUp) this.log.info('Redis is connected')
    else this.log.warn(`Redis is unavailable: ${reason}; until it is back, each process executes its own runs`)
    this.emit(isUp ? 'up' : 'down')
  }
}

/**
 * Ends a connection and rejects its commands. If ioredis waits for its next attempt to connect, `disconnect` cancels the
 * attempt but leaves the commands pending; it rejects them if an attempt has begun.
 */
function disconnect (connection: Redis): void {
  connection.disconnect()
  if (connection.status !== 'reconnecting') return
  connection.connect().catch(() => {})
  connection.disconnect()
}

function describe ({ message, ...error }: Error & { code?: string, errors?: Error[] }): string {
  // The first two are how ioredis reports a connection that ended before the answer, EPIPE is how the kernel does.
  if (/max retries per request|Connection is closed|EPIPE$/.test(message)) return 'it closes the connection'
  if (/^Socket timeout|^Command timed out/.test(message)) return 'it does not answer'
  return message || error.errors?.[0]?.message || error.code || 'the connection failed'
}
