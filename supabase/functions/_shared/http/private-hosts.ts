import ipaddr from 'ipaddr.js'
import { familyOf, type PrivateHost } from './addresses.ts'

/** Reads hosts separated by commas. */
export function readPrivateHosts (list: string | undefined, problems: string[]): PrivateHost[] {
  return readList(list).flatMap(item => {
    const host = readPrivateHost(item)
    if (!host) problems.push(`ALLOW_PRIVATE_TOOL_HOSTS must be a comma-separated list of host names, addresses or CIDRs, each with or without :port; "${item}" is none`)
    return host ?? []
  })
}

/** Reads `name`, `10.0.0.1`, `10.0.0.0/8`, `fd00::1` or `[fd00::/8]`, each with or without `:port`, except for a bare IPv6 address. */
function readPrivateHost (item: string): PrivateHost | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(item) ?? []
  const place = (bracketed ?? plain ?? item).toLowerCase()
  const port = digits === undefined ? undefined : Number(digits)
  if (port !== undefined && (port < 1 || port > 65535)) return undefined
  const [address = '', bits, ...more] = place.split('/')
  const family = familyOf(address)
  if (more.length > 0 || (bracketed && family !== 6)) return undefined
  if (family && bits !== undefined) return ipaddr.isValidCIDR(place) ? { host: address, bits: Number(bits), port } : undefined
  if (family) return { host: address, port }
  // A name whose last label is a number would be resolved as an IPv4 address in another notation.
  const isName = bits === undefined && /^[a-z\d_](?:[a-z\d._-]*[a-z\d_])?$/.test(address) && !/(?:^|\.)(?:\d+|0x[\da-f]*)$/.test(address)
  return isName ? { host: address, port } : undefined
}

/** Splits at commas, trims the items and drops empty ones. */
export function readList (list = ''): string[] {
  return list.split(',').map(item => item.trim()).filter(Boolean)
}
