import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A proxy in front of a Postgres server. */
export interface SqlProxy {
  url: string
  close (): void
}

/** @param onCall receives the text of each statement when it is executed. */
export async function startProxy (databaseUrl: string, onCall: (statement: string) => void): Promise<SqlProxy> {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const upstream = connect(Number(target.port || 5432), target.hostname)
    const reader = new StatementReader(onCall)
    client.on('data', bytes => reader.push(bytes))
    client.pipe(upstream).pipe(client)
    for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => sockets.delete(socket))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: Object.assign(new URL(databaseUrl), { host: `127.0.0.1:${(server.address() as AddressInfo).port}` }).href,
    close () {
      server.close()
      for (const socket of sockets) socket.destroy()
    }
  }
}

/**
 * Reads the client's messages of the PostgreSQL protocol. `Query` contains the text; in the extended protocol `Parse`
 * names a text, `Bind` makes a portal of it, and `Execute` runs the portal.
 */
export class StatementReader {
  #rest: Buffer = Buffer.alloc(0)
  #hasBegun = false
  #texts = new Map<string, string>()
  #portals = new Map<string, string>()

  constructor (private readonly onCall: (statement: string) => void) {}

  push (bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    for (;;) {
      // The startup message has no type byte.
      const head = this.#hasBegun ? 1 : 0
      if (this.#rest.length < head + 4) return
      const end = head + this.#rest.readInt32BE(head)
      if (this.#rest.length < end) return
      if (this.#hasBegun) this.#take(String.fromCharCode(this.#rest[0]!), this.#rest.toString('utf8', 5, end).split('\0'))
      this.#hasBegun = true
      this.#rest = this.#rest.subarray(end)
    }
  }

  #take (type: string, [first = '', second = '']: string[]): void {
    if (type === 'P') this.#texts.set(first, second)
    if (type === 'B') this.#portals.set(first, this.#texts.get(second) ?? '')
    if (type === 'E') this.onCall(this.#portals.get(first) ?? '')
    if (type === 'Q') this.onCall(first)
  }
}
