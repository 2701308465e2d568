import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis, type RedisOptions } from 'ioredis'
import type { Logger } from 'pino'
import type { RedisConfig } from '../config/backing-services.js'
import { explainRefusal, judgeServer, UnfitRedisError } from './fitness.js'
import { PREFIX } from './keys.js'

const FIRST_ANSWER_MS = 2_000
/** How often Redis is asked whether it is there, and whether it still knows what it was told. */
const PULSE_MS = 1_000
/** A command that takes longer has failed: what waits for it can go on without Redis. */
const COMMAND_TIMEOUT_MS = 2_000
const CONNECT_TIMEOUT_MS = 5_000
/** A connection that says nothing for longer than its commands may take is dead, though nobody has closed it. */
const DEAD_COMMANDS_MS = 2 * COMMAND_TIMEOUT_MS
/** The same where commands block: longer than any of them does. */
const DEAD_BLOCKING_MS = 15_000
const MAX_RECONNECT_MS = 1_000
/** A key that is there for as long as Redis has not lost its data. */
const MARKER = `${PREFIX}:marker`

interface LinkEvents { up: [], down: [], forgot: [] }

/**
 * The way to Redis, whose state is known, and told in the log when it changes. `up`, `down`: it has changed. `forgot`:
 * it has lost what it knew, or is new.
 */
export class RedisLink extends EventEmitter<LinkEvents> {
  /** For what is answered at once, or has failed. */
  readonly commands: Redis
  #isUp = false
  #server = ''
  #why: string | undefined
  #connections: Redis[] = []
  #pulse: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (private readonly config: RedisConfig, private readonly log: Pick<Logger, 'info' | 'warn' | 'error'>) {
    super()
    this.commands = this.#open({ enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: COMMAND_TIMEOUT_MS, socketTimeout: DEAD_COMMANDS_MS })
  }

  /** Whether Redis answered when it was asked last. */
  get isUp (): boolean { return this.#isUp }

  /** The server's process: another one may know less than the one before it. */
  get server (): string { return this.#server }

  /** A connection for what blocks, or is to wait for Redis to be back; closed with the link. */
  openConnection (options: RedisOptions = {}): Redis {
    return this.#open({ maxRetriesPerRequest: null, socketTimeout: DEAD_BLOCKING_MS, ...options })
  }

  /**
   * Asks for the first time; one that is away is waited for from here on, and this does not wait.
   * @throws {UnfitRedisError} where it is not fit, or does not let this service in.
   */
  async connect (): Promise<void> {
    const enough = delay(FIRST_ANSWER_MS, undefined, { ref: false })
    const refused = new Promise<string>(resolve => this.commands.on('error', error => {
      const refusal = explainRefusal(error)
      if (refusal) resolve(refusal)
    }))
    const refusal = await Promise.race([this.#whenReady().then(() => this.#examine()).catch(() => undefined), refused, enough])
    if (refusal) throw new UnfitRedisError(`REDIS_URL: ${refusal}`)
    // A server without TLS does not answer what it takes for noise.
    const hint = this.config.url.startsWith('rediss:') ? ' (does it speak TLS?)' : ''
    if (!this.#isUp) this.#note(false, this.#why ?? `it said nothing for ${FIRST_ANSWER_MS / 1000} s${hint}`, true)
    this.#pulse = setInterval(() => this.#beat(), PULSE_MS).unref()
    // Another server than before may be there: known at once, and not fit, perhaps.
    this.commands.on('ready', () => this.#reexamine())
  }

  close (): void {
    this.#isClosed = true
    clearInterval(this.#pulse)
    for (const connection of this.#connections) giveUp(connection)
  }

  #open (options: RedisOptions): Redis {
    const { url, ca } = this.config
    const connection = new Redis(url, {
      // IPv6 too, which is all that Railway's private network has.
      family: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      retryStrategy: times => Math.min(50 * 2 ** times, MAX_RECONNECT_MS),
      // RESP3 says nothing here that RESP2 does not, and proxies before Redis may not know it.
      protocol: 2,
      // After a failover the old master is a replica.
      reconnectOnError: error => error.message.startsWith('READONLY'),
      ...(ca && url.startsWith('rediss:') ? { tls: { ca } } : {}),
      ...options
    })
    // Without a listener ioredis writes to the console.
    connection.on('error', error => { this.#why = describe(error) })
    this.#connections.push(connection)
    // A worker of BullMQ opens another like it. One that has never been ready it does not close, and never ends itself.
    connection.duplicate = override => this.#open({ ...options, ...override })
    return connection
  }

  async #whenReady (): Promise<void> {
    if (this.commands.status !== 'ready') await new Promise<void>(resolve => { this.commands.once('ready', resolve) })
  }

  /** Returns what makes it unfit. */
  async #examine (): Promise<string | undefined> {
    try {
      const info = await this.commands.info()
      const unfit = judgeServer(info)
      if (unfit) return unfit
      this.#server = /^run_id:(\w+)/m.exec(info)?.[1] ?? ''
      await this.#mark()
      this.#note(true)
    } catch (error) {
      const refusal = explainRefusal(error as Error)
      if (!refusal) throw error
      return refusal
    }
  }

  async #beat (): Promise<void> {
    if (!this.#isUp) return this.#reexamine()
    await this.#mark().catch(error => this.#lose(error))
  }

  async #reexamine (): Promise<void> {
    try {
      const unfit = await this.#examine()
      if (unfit) this.#note(false, unfit)
    } catch (error) {
      this.#lose(error as Error)
    }
  }

  #lose (error: Error): void {
    // That a connection cannot be written to says nothing of why it is not there.
    const isUnconnected = this.commands.status !== 'ready'
    this.#note(false, isUnconnected ? this.#why ?? 'it cannot be reached' : describe(error))
  }

  async #mark (): Promise<void> {
    if (await this.commands.set(MARKER, '1', 'NX')) this.emit('forgot')
  }

  #note (isUp: boolean, why = '', isNews = isUp !== this.#isUp): void {
    this.#isUp = isUp
    if (!isNews || this.#isClosed) return
    if (isUp) this.log.info('Redis is there')
    else this.log.warn(`waiting for Redis: ${why}; until it is there each process serves its own runs`)
    this.emit(isUp ? 'up' : 'down')
  }
}

/**
 * Ends a connection, and what waits for it. Where the next try is yet to come ioredis forgets the try and not who waits
 * for it; one that begins and is ended at once takes them with it.
 */
function giveUp (connection: Redis): void {
  connection.disconnect()
  if (connection.status !== 'reconnecting') return
  connection.connect().catch(() => {})
  connection.disconnect()
}

function describe ({ message, ...error }: Error & { code?: string, errors?: Error[] }): string {
  // Thus ioredis says that what it asked was not answered before the connection ended, and the kernel that it has ended.
  if (/max retries per request|Connection is closed|EPIPE$/.test(message)) return 'it hangs up'
  if (/^Socket timeout|^Command timed out/.test(message)) return 'it does not answer'
  return message || error.errors?.[0]?.message || error.code || 'the connection failed'
}
