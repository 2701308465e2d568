import ipaddr, { type IPv4, type IPv6 } from 'ipaddr.js'

/** A private host that tools may connect to: a name, an address, or a range with a prefix of `bits`; on all ports, unless it has a port. */
export interface PrivateHost { readonly host: string, readonly bits?: number, readonly port?: number }

/** 4 or 6 if a text is an address of that version in its usual notation, 0 if it is none. */
export function familyOf (text: string): 0 | 4 | 6 {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return 4
  return text.includes(':') && ipaddr.IPv6.isValid(text) ? 6 : 0
}

/**
 * Whether an address is on the public internet. All others are refused: loopback, private, link-local (which includes
 * the metadata services of clouds), multicast, reserved, and IPv6 forms of such an IPv4 address.
 */
export function isPublic (address: string): boolean {
  if (familyOf(address) === 0) return false
  const parsed = ipaddr.process(address)
  if (parsed instanceof ipaddr.IPv4) return isPublicV4(parsed)
  const [first, second, third] = parsed.parts as [number, number, number]
  const range = parsed.range()
  if (range === '6to4') return isPublicV4(ipaddr.fromByteArray([second >> 8, second & 255, third >> 8, third & 255]))
  // IPv6-only networks reach IPv4 by this prefix. The prefix for translation within a network is not public.
  if (range === 'rfc6052') return second === 0xff9b && third === 0 && isPublicV4(ipaddr.fromByteArray(parsed.toByteArray().slice(12)))
  // No other block is allocated. This also refuses what has no range of its own, such as the old `::a.b.c.d`.
  const isGlobal = first >> 13 === 1
  return isGlobal && range === 'unicast'
}

function isPublicV4 (address: IPv4 | IPv6): boolean {
  return address.range() === 'unicast'
}

/**
 * Whether an exception allows a connection.
 * @param name the host in the URL, which may be an address.
 * @param address the address that the name resolved to.
 */
export function isExcepted (exceptions: readonly PrivateHost[], name: string, address: string, port: number): boolean {
  return exceptions.some(exception =>
    (exception.port === undefined || exception.port === port) &&
    (familyOf(exception.host) ? covers(exception, address) : exception.host === name.toLowerCase().replace(/\.$/, '')))
}

function covers ({ host, bits }: PrivateHost, address: string): boolean {
  const given = ipaddr.process(address)
  const range = ipaddr.process(host)
  return given.kind() === range.kind() && given.match(range, bits ?? range.toByteArray().length * 8)
}
