import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A TCP proxy between a replica and a service, which can break, stall or black-hole connections. */
export class Proxy {
  #pairs = new Set<Pair>()
  #blackholed = new Set<Pair>()
  #isMute = false
  #port = 0
  #server: Server
  /** Called with what clients send. True: the answer is lost, and the connection breaks when it arrives. */
  losesAnswerTo: (bytes: Buffer) => boolean = () => false

  /** @param target the service. */
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

  /** Resets all connections, and refuses new ones until it is opened again. */
  async close (): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#breakAll()
    await closed
  }

  /** Keeps and accepts connections, but passes nothing on. */
  mute (): void {
    this.#isMute = true
    for (const pair of this.#pairs) separate(pair)
  }

  /** Passes on what was held back. */
  unmute (): void {
    this.#isMute = false
    for (const pair of this.#pairs) connectPair(pair)
  }

  /** Keeps the present connections open without ever passing anything on, as a router that has lost its state; new ones work. */
  blackhole (): void {
    for (const pair of this.#pairs) {
      separate(pair)
      this.#blackholed.add(pair)
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
        this.#blackholed.delete(pair)
        for (const end of pair) end.destroy()
      })
      // Listening must not start a connection that is mute.
      socket.pause()
    }
    this.#watch(pair)
    if (!this.#isMute) connectPair(pair)
  }

  #watch ([client, service]: Pair): void {
    let isLost = false
    client.on('data', (bytes: Buffer) => { isLost ||= this.losesAnswerTo(bytes) })
    service.on('data', () => { if (isLost) client.resetAndDestroy() })
  }

  #breakAll (): void {
    for (const [client] of [...this.#pairs, ...this.#blackholed]) client.resetAndDestroy()
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
