import { isIP } from 'node:net'
import ipaddr, { type IPv4, type IPv6 } from 'ipaddr.js'

/** A host that is not public and may be reached all the same: a name, an address, or a range of `bits`; on all ports unless one is named. */
export interface PrivateHost { readonly host: string, readonly bits?: number, readonly port?: number }

/**
 * Whether an address is one of the public internet. All others are refused: loopback, private, link-local (with the
 * metadata of clouds), multicast, reserved, and IPv6 forms that carry such an IPv4 address.
 */
export function isPublic (address: string): boolean {
  if (isIP(address) === 0) return false
  const parsed = ipaddr.process(address)
  if (parsed instanceof ipaddr.IPv4) return isPublicV4(parsed)
  const [first, second, third] = parsed.parts as [number, number, number]
  const range = parsed.range()
  if (range === '6to4') return isPublicV4(ipaddr.fromByteArray([second >> 8, second & 255, third >> 8, third & 255]))
  // An IPv6-only network reaches IPv4 this way; the prefix for translation within a network is none of the public ones.
  if (range === 'rfc6052') return second === 0xff9b && third === 0 && isPublicV4(ipaddr.fromByteArray(parsed.toByteArray().slice(12)))
  // Nothing else is given out so far, which covers what has no range of its own, such as the old `::a.b.c.d`.
  const isGlobal = first >> 13 === 1
  return isGlobal && range === 'unicast'
}

function isPublicV4 (address: IPv4 | IPv6): boolean {
  return address.range() === 'unicast'
}

/** Whether a connection to this address, which was named so, is one of the exceptions. @param name as in a URL; an address for itself. */
export function isExcepted (exceptions: readonly PrivateHost[], name: string, address: string, port: number): boolean {
  return exceptions.some(exception =>
    (exception.port === undefined || exception.port === port) &&
    (isIP(exception.host) ? covers(exception, address) : exception.host === name.toLowerCase().replace(/\.$/, '')))
}

function covers ({ host, bits }: PrivateHost, address: string): boolean {
  const given = ipaddr.process(address)
  const range = ipaddr.process(host)
  return given.kind() === range.kind() && given.match(range, bits ?? range.toByteArray().length * 8)
}
