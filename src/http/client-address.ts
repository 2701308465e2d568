import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'

/** Railway's proxies; an `X-Real-IP` is believed from nowhere else. */
const RAILWAY_PROXIES = new BlockList()
RAILWAY_PROXIES.addSubnet('100.64.0.0', 10, 'ipv4')

/** Peers that nobody can be whom the operator has not let in: this machine, and Railway's private network. */
const PRIVATE_PEERS = new BlockList()
PRIVATE_PEERS.addSubnet('127.0.0.0', 8, 'ipv4')
PRIVATE_PEERS.addAddress('::1', 'ipv6')
PRIVATE_PEERS.addSubnet('fd00::', 8, 'ipv6')
/** What proxies say of whom they speak for. */
const FORWARDED = ['x-real-ip', 'x-forwarded-for', 'forwarded']

/** The part of an IPv6 address that names a network: its host chooses the rest as it likes. */
const NETWORK_BITS = 64

/** The address of the peer itself. */
function peerOf (request: FastifyRequest): string {
  return (request.socket?.remoteAddress ?? '').replace(/^::ffff:/, '').replace(/%.*$/, '')
}

/** Whether a request comes from this machine or the private network, and not through a proxy, which stands there for everybody. */
export function isPrivatelySent (request: FastifyRequest): boolean {
  const peer = peerOf(request)
  return FORWARDED.every(name => request.headers[name] === undefined) && PRIVATE_PEERS.check(peer, isIPv4(peer) ? 'ipv4' : 'ipv6')
}

/** The address a request came from: behind Railway's proxy the one that the proxy saw, else the peer's. */
export function clientAddress (request: FastifyRequest): string {
  const peer = peerOf(request)
  const reported = request.headers['x-real-ip']
  const isBelieved = isIPv4(peer) && RAILWAY_PROXIES.check(peer) && typeof reported === 'string' && (isIPv4(reported) || isIPv6(reported))
  return isBelieved ? reported : peer
}

/** Under which name the address of a request is counted: an IPv6 address with all of its network (/64). */
export function addressKey (request: FastifyRequest): string {
  return `address:${normalizeIP(clientAddress(request).replace(/%.*$/, ''), NETWORK_BITS)}`
}

/**
 * Under which name a request is counted: its user, or its API key, so that who reads a key in a page uses up nothing of its owner's
 * own; visitors of a publishable key each by their address, since anybody may be any number of visitors.
 */
export function callerKey (request: FastifyRequest): string {
  const { caller } = request
  if (!caller) return addressKey(request)
  if (caller.apiKeyId === null) return userKey(caller.userId)
  return caller.kind === 'visitor' ? `key:${caller.apiKeyId}:${addressKey(request)}` : `key:${caller.apiKeyId}`
}

export function userKey (userId: string): string {
  return `user:${userId}`
}
