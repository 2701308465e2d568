import type { RawData, WebSocket } from 'ws'
import type { Incoming } from '../incoming-bytes.js'

/** Bytes of a message before the client is known. */
const DOOR_BYTES = 16 * 1024
/** Messages that may wait for those before them; beyond, the socket is not read. */
const MAX_PENDING = 32
/** Bytes of messages that wait, likewise. */
const MAX_PENDING_BYTES = 256 * 1024
/** Of a client that is not known, one. */
const MAX_PENDING_AT_DOOR = 1
const AUTH = '"auth"'
/** How `ws` calls a message that is larger than it may be. */
const TOO_BIG = 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'

interface Receiver {
  _maxPayload: number
  prependListener (event: 'error', listener: (error: Error & { code?: string }) => void): void
}

interface InboxEvents {
  message (data: Buffer, isBinary: boolean): Promise<void>
  /** The client sends more at a time than may be held. */
  overflow (error: unknown): void
  /** A message is larger than it may be, and is not read. `ws` says goodbye without a word of why, unless this does. */
  tooBig (maxBytes: number, isKnown: boolean): void
}

/** A client's messages: one is handled after the other, few are kept in memory, and large ones come in once the client is known. */
export class Inbox {
  #incoming?: Incoming
  #pending = 0
  #pendingBytes = 0
  #isOpen = false
  #isPaused = false
  #isStopped = false
  #order: Promise<void> = Promise.resolve()

  /** @param maxBytes of a message of a client that is known. */
  constructor (private readonly socket: WebSocket, private readonly maxBytes: number, private readonly on: InboxEvents) {
    setMaxBytes(socket, DOOR_BYTES)
    socket.on('message', (data, isBinary) => this.#take(data as Buffer, isBinary))
    // Before the listener of `ws`, which closes the connection.
    receiverOf(socket).prependListener('error', error => {
      if (error.code === TOO_BIG) on.tooBig(receiverOf(socket)._maxPayload, this.#isOpen)
      else this.stop()
    })
  }

  /**
   * The client is known.
   * @param incoming counts the bytes of messages that have not arrived as a whole.
   */
  open (incoming: Incoming): void {
    this.#incoming ??= incoming
    this.#isOpen = true
    this.#update()
  }

  /** Counts bytes that have arrived. */
  count (bytes: number): void {
    try {
      if (!this.#isStopped) this.#incoming?.grow(bytes)
    } catch (error) {
      this.on.overflow(error)
    }
  }

  /** Drops what waits and what comes from now on; the goodbye of the client still arrives. */
  stop (): void {
    this.#isStopped = true
    this.#incoming?.end()
    this.#incoming = undefined
    this.#update()
  }

  /** Handles a task after the messages before it. What is behind it may be large, since a client need not wait for the answer to its token. */
  enqueue (task: () => Promise<void>, bytes = 0): void {
    this.#pending++
    this.#pendingBytes += bytes
    this.#update()
    this.#order = this.#order.then(() => this.#isStopped ? undefined : task()).finally(() => {
      this.#pending--
      this.#pendingBytes -= bytes
      this.#update()
    })
  }

  /** Lets the frames behind a token be as large as they may be, of which no more than one read arrives until it is checked. */
  expectToken (): void {
    setMaxBytes(this.socket, this.maxBytes)
  }

  #take (data: Buffer | RawData, isBinary: boolean): void {
    if (this.#isStopped) return
    this.#incoming?.end()
    const message = data as Buffer
    if (!this.#isOpen && message.length <= DOOR_BYTES && message.includes(AUTH)) this.expectToken()
    this.enqueue(() => this.on.message(message, isBinary), message.length)
  }

  #update (): void {
    const isFull = !this.#isStopped && (this.#pendingBytes >= MAX_PENDING_BYTES || this.#pending >= (this.#isOpen ? MAX_PENDING : MAX_PENDING_AT_DOOR))
    if (!this.#isOpen && this.#pending === 0) setMaxBytes(this.socket, DOOR_BYTES)
    if (isFull === this.#isPaused) return
    this.#isPaused = isFull
    if (isFull) this.socket.pause()
    else this.socket.resume()
  }
}

/** `ws` has one limit for all connections of a server; each connection's own is read anew for every frame. */
function setMaxBytes (socket: WebSocket, bytes: number): void {
  receiverOf(socket)._maxPayload = bytes
}

/** The parser of a connection's frames. */
function receiverOf (socket: WebSocket): Receiver {
  return (socket as WebSocket & { _receiver: Receiver })._receiver
}
