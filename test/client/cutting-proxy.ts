import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import type { Test } from 'tap'

/** A network between a client and the service that breaks. */
export interface CuttingProxy {
  url: string
  /** Connections that were made so far. */
  connections: number
  /** Bytes of each answer that pass; what follows is lost, with the connection. Undefined: all. */
  passes?: number
  /** Where new connections lead; undefined: nowhere. */
  target: string | undefined
  /** Breaks all connections. */
  cut (): void
}

/** Starts a proxy on TCP's level in front of the service. */
export async function startCuttingProxy (t: Test, target: string): Promise<CuttingProxy> {
  const cuts = new Set<() => void>()
  const server = createServer(client => {
    proxy.connections++
    client.on('error', () => {})
    if (proxy.target === undefined) return client.destroy()
    const service = connect(Number(new URL(proxy.target).port), '127.0.0.1').on('error', () => {})
    const cut = () => {
      client.destroy()
      service.destroy()
    }
    cuts.add(cut)
    for (const socket of [client, service]) {
      socket.on('close', () => {
        cuts.delete(cut)
        cut()
      })
    }
    client.pipe(service)
    let left = proxy.passes ?? Infinity
    service.on('data', bytes => {
      client.write(bytes.subarray(0, Math.min(bytes.length, left)), () => { if (left <= 0) cut() })
      left -= bytes.length
    })
  })
  const proxy: CuttingProxy = { url: '', connections: 0, target, cut () { for (const cut of cuts) cut() } }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    proxy.cut()
    server.close()
  })
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return proxy
}
