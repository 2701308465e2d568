import { BlockList, isIPv4, isIPv6 } from 'node:net'
import type { FastifyRequest } from 'fastify'

/** Railway's proxies; an `X-Real-IP` is believed from nowhere else. */
const RAILWAY_PROXIES = new BlockList()
RAILWAY_PROXIES.addSubnet('100.64.0.0', 10, 'ipv4')

/** The address a request came from: behind Railway's proxy the one that the proxy saw, else the peer's. */
export function clientAddress (request: FastifyRequest): string {
  const peer = (request.socket?.remoteAddress ?? '').replace(/^::ffff:/, '')
  const reported = request.headers['x-real-ip']
  const isBelieved = isIPv4(peer) && RAILWAY_PROXIES.check(peer) && typeof reported === 'string' && (isIPv4(reported) || isIPv6(reported))
  return isBelieved ? reported : peer
}
