import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { REQUESTS_MS } from '../shutdown.js'

/** How long a connection may stay without a request once the server closes. */
const UNUSED_MS = 500

/**
 * Cuts connections that would hold up the end of the server. Browsers and proxies open connections in advance; Node
 * counts one that has sent nothing yet as busy for as long as its headers may take, and a body may take minutes.
 */
export class ConnectionCutter {
  readonly #unused = new Set<Socket>()
  #closing: NodeJS.Timeout | undefined

  constructor (private readonly server: Server) {
    const unused = this.#unused
    server.on('connection', socket => {
      unused.add(socket)
      socket.on('close', onClose)
    })
    server.on('request', ({ socket }) => use(socket))
    server.on('upgrade', ({ socket }) => use(socket as Socket))
    server.on('close', () => clearInterval(this.#closing))

    /** A connection that lasts keeps nothing of this. */
    function use (socket: Socket): void {
      if (unused.delete(socket)) socket.off('close', onClose)
    }

    function onClose (this: Socket): void {
      unused.delete(this)
    }
  }

  /** Whether answers are to say `connection: close`. */
  get isClosing (): boolean { return this.#closing !== undefined }

  /** Cuts unused connections from now on, and all after REQUESTS_MS: until the server closes it still accepts some. */
  close (): void {
    const cutAt = Date.now() + REQUESTS_MS
    this.#closing ??= setInterval(() => this.#cut(Date.now() >= cutAt), UNUSED_MS).unref()
  }

  #cut (all: boolean): void {
    for (const socket of this.#unused) socket.destroy()
    if (all) this.server.closeAllConnections()
  }
}
