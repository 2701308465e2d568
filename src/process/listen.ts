import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../config/config.js'
import { REQUESTS_MS } from '../shutdown.js'

/** What a machine says that lacks a family of addresses, or the loopback address of one. */
const LACKS_FAMILY = ['EAFNOSUPPORT', 'EADDRNOTAVAIL']

/**
 * Listens, and resolves to the URL. `::` is every address; on a machine without IPv6, every one of IPv4. `localhost` is the
 * loopback addresses of both, whatever the hosts file says of that name.
 */
export async function listen (app: FastifyInstance, { host, port }: Config): Promise<string> {
  if (host === 'localhost') await listenOnLoopback(app, port)
  else if (host === '::') await listenOnFirst(app, ['::', '0.0.0.0'], port)
  else await app.listen({ host, port })
  const address = app.addresses()[0] as AddressInfo
  const isEverywhere = ['::', '0.0.0.0', '127.0.0.1', '::1'].includes(address.address)
  return `http://${isEverywhere ? 'localhost' : address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`
}

async function listenOnLoopback (app: FastifyInstance, port: number): Promise<void> {
  // Connections to the second address become the first server's, which limits and ends them with its own. The options are
  // those of Node's HTTP server.
  const second = createServer({ allowHalfOpen: true, noDelay: true }, socket => app.server.emit('connection', socket))
  const closed = new Promise(resolve => second.once('close', resolve))
  app.addHook('preClose', async () => { second.close() })
  app.addHook('onClose', async () => {
    await Promise.race([closed, delay(REQUESTS_MS, undefined, { ref: false })])
    app.server.closeAllConnections()
  })
  await listenOnFirst(app, ['127.0.0.1', '::1'], port)
  const { address, port: chosen } = app.addresses()[0] as AddressInfo
  if (address !== '::1') await listenIfThere(second, '::1', chosen)
}

async function listenOnFirst (app: FastifyInstance, [host, other]: [string, string], port: number): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    if (!isFamilyMissing(error)) throw error
    await app.listen({ host: other, port })
  }
}

async function listenIfThere (server: Server, host: string, port: number): Promise<void> {
  try {
    await once(server.listen(port, host), 'listening')
  } catch (error) {
    // Another program on this address is an error: callers of `localhost` would talk to it.
    if (!isFamilyMissing(error)) throw error
  }
}

function isFamilyMissing (error: unknown): boolean {
  return LACKS_FAMILY.includes((error as NodeJS.ErrnoException).code ?? '')
}
