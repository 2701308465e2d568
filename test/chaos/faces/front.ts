import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Address } from '../reader.js'

/** The share of connections that are cut, and within which time. */
const CUT = 0.3
const CUT_MS = 1_000

const BAD_GATEWAY = 'HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/plain\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndown'

/** One address of all replicas, as a platform has it in front of them. It cuts connections. */
export interface Front {
  url: string
  close (): void
}

/**
 * @param addresses of the replicas; a connection goes to any of them. Of one that is down it says so in HTTP, as platforms do.
 * @param random decides where connections go, and which are cut.
 */
export async function startFront (addresses: () => Address[], random: () => number): Promise<Front> {
  const clients = new Set<Socket>()
  const server = createServer(client => {
    clients.add(client)
    client.once('close', () => clients.delete(client))
    const choices = addresses()
    join(client, choices[Math.floor(random() * choices.length)]!.url)
    const [isCut, ms, isReset] = [random() < CUT, CUT_MS * random(), random() < 0.5]
    if (!isCut) return
    const timer = setTimeout(() => isReset ? client.resetAndDestroy() : client.destroy(), ms)
    client.once('close', () => clearTimeout(timer))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close () {
      server.close()
      for (const client of clients) client.destroy()
    }
  }
}

function join (client: Socket, url: string): void {
  const { hostname, port } = new URL(url)
  const service = connect(Number(port), hostname)
  const asked = once(client, 'data').catch(() => {})
  client.on('error', () => {}).once('close', () => service.destroy())
  service.on('error', () => {
    if (service.bytesRead > 0 || service.bytesWritten > 0) return client.resetAndDestroy()
    client.unpipe(service).resume()
    asked.then(() => client.end(BAD_GATEWAY))
  })
  client.setNoDelay().pipe(service.setNoDelay()).pipe(client)
}
