import { EventEmitter } from 'node:events'
import type { Redis } from 'ioredis'
import { inboxesKey, inboxKey } from '../keys.js'
import type { RedisLink } from '../link.js'
import type { Message } from './messages.js'

/** How often a process sends its own inbox a frame, to see that frames arrive, and how long one may take. */
const CHECK_MS = 1_000
const LOST_MS = 4_000
const RETRY_MS = 200
/** The frame that is sent for that. */
const PROBE = '?'

interface InboxEvents {
  /** A frame of a message has arrived. */
  frame: [frame: string]
  /** Frames arrive, for the first time or again: what was sent before may be lost. */
  open: []
}

/** The channel of Redis by which a process hears from others. */
export class Inbox extends EventEmitter<InboxEvents> {
  readonly #connection: Redis
  readonly #timer: NodeJS.Timeout
  /** The channel of all processes. */
  readonly #everybody: string
  #heardAt = performance.now()
  #isOpen = false
  #isClosed = false

  /** @param name this process's. */
  constructor (private readonly link: Pick<RedisLink, 'commands' | 'openConnection'>, readonly name: string) {
    super()
    this.#everybody = inboxesKey(link.commands.options.db ?? 0)
    this.#connection = link.openConnection({ autoResubscribe: false })
    this.#connection.on('ready', () => this.#subscribe())
    this.#connection.on('close', () => { this.#isOpen = false })
    this.#connection.on('message', (_channel: string, frame: string) => this.#take(frame))
    this.#timer = setInterval(() => this.#check(), CHECK_MS).unref()
    if (this.#connection.status === 'ready') this.#subscribe()
  }

  /** Whether frames arrive, as far as is known. */
  get isOpen (): boolean { return this.#isOpen }

  /** Sends a message to another process. Resolves to whether one listens; rejects if Redis does not answer. */
  async send (to: string, message: Message): Promise<boolean> {
    return await this.link.commands.publish(inboxKey(to), JSON.stringify(message)) > 0
  }

  /** Sends a message to all processes, this one included. */
  async broadcast (message: Message): Promise<void> {
    await this.link.commands.publish(this.#everybody, JSON.stringify(message))
  }

  close (): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    this.#connection.disconnect()
  }

  async #subscribe (): Promise<void> {
    try {
      await this.#connection.subscribe(inboxKey(this.name), this.#everybody)
      if (this.#isClosed) return
      this.#heardAt = performance.now()
      this.#isOpen = true
      this.emit('open')
    } catch {
      // The connection has ended, which begins another one; or Redis does not permit it, which the link reports.
      if (!this.#isClosed && this.#connection.status === 'ready') setTimeout(() => this.#subscribe(), RETRY_MS).unref()
    }
  }

  #take (frame: string): void {
    this.#heardAt = performance.now()
    if (frame !== PROBE) this.emit('frame', frame)
  }

  /** A connection that nothing comes over, although Redis takes what is sent, is opened anew. */
  #check (): void {
    if (!this.#isOpen) return
    this.link.commands.publish(inboxKey(this.name), PROBE).catch(() => { this.#heardAt = performance.now() })
    if (performance.now() - this.#heardAt < LOST_MS) return
    this.#isOpen = false
    this.#connection.disconnect(true)
  }
}
