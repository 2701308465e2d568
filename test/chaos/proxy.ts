import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** One replica's way to a service: it can be cut, or swallow everything. */
export class Proxy {
  #pairs = new Set<Pair>()
  #forgotten = new Set<Pair>()
  #isMute = false
  #port = 0
  #server: Server

  /** @param target where the way leads to. */
  constructor (private readonly target: { host: string, port: number }) {
    this.#server = createServer(client => this.#join(client))
  }

  /** Returns the port it listens on. */
  async open (): Promise<number> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
    return this.#port
  }

  /** Breaks all connections; until it is opened again there are no new ones. */
  async close (): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#breakAll()
    await closed
  }

  /** Connections stay, new ones come, and nothing goes through them. */
  mute (): void {
    this.#isMute = true
    for (const pair of this.#pairs) separate(pair)
  }

  /** What was held up goes through. */
  unmute (): void {
    this.#isMute = false
    for (const pair of this.#pairs) connectPair(pair)
  }

  /** Connections stay and are dead for ever, as those that a router has forgotten; new ones work. */
  forget (): void {
    for (const pair of this.#pairs) {
      separate(pair)
      this.#forgotten.add(pair)
    }
    this.#pairs.clear()
  }

  #join (client: Socket): void {
    const pair: Pair = [client, connect(this.target)]
    this.#pairs.add(pair)
    for (const socket of pair) {
      socket.setNoDelay()
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#pairs.delete(pair)
        this.#forgotten.delete(pair)
        for (const end of pair) end.destroy()
      })
    }
    if (!this.#isMute) connectPair(pair)
  }

  #breakAll (): void {
    for (const [client] of [...this.#pairs, ...this.#forgotten]) client.resetAndDestroy()
  }
}

type Pair = readonly [Socket, Socket]

function connectPair ([client, service]: Pair): void {
  client.pipe(service).pipe(client)
}

function separate ([client, service]: Pair): void {
  client.unpipe(service).pause()
  service.unpipe(client).pause()
}
