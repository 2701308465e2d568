import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { buildConnector } from 'undici'
import { ToolError } from '../tool.js'
import { isExcepted, isPublic, type PrivateHost } from '#shared/http/addresses.ts'

const CONNECT_TIMEOUT = 5000

export interface Address { address: string, family: number }

export interface ConnectorOptions {
  /** Hosts that may be connected to although they are not public. */
  privateHosts?: readonly PrivateHost[]
  /** Resolves a name; by default with the system's resolver. */
  lookup? (name: string): Promise<Address[]>
  /** Milliseconds for the lookup, and again for the connection with TLS. */
  connectTimeout?: number
}

/** Tools may not connect to any of a host's addresses. */
export class NotPublicError extends Error {}

/**
 * Creates a connector that connects only to public addresses and exceptions. It connects to the very addresses that it
 * checked, without another lookup, so that a name cannot change its address in between.
 */
export function createConnector (options: ConnectorOptions): buildConnector.connector {
  const timeout = options.connectTimeout ?? CONNECT_TIMEOUT
  return (target, callback) => {
    findAddresses(target, options, timeout).then(
      addresses => buildConnector({ timeout, lookup: pinnedLookup(addresses) })(target, callback),
      error => callback(error, null))
  }
}

async function findAddresses ({ hostname, protocol, port }: buildConnector.Options, options: ConnectorOptions, timeout: number): Promise<Address[]> {
  const family = isIP(hostname)
  const found = family ? [{ address: hostname, family }] : await withTimeout(timeout, (options.lookup ?? lookup)(hostname), hostname)
  const portNumber = Number(port) || (protocol === 'https:' ? 443 : 80)
  const addresses = found.filter(({ address }) =>
    isPublic(address) || isExcepted(options.privateHosts ?? [], hostname, address, portNumber))
  if (addresses.length === 0) throw new NotPublicError()
  return addresses
}

function lookup (name: string): Promise<Address[]> {
  return systemLookup(name, { all: true, verbatim: true })
}

async function withTimeout<T> (ms: number, promise: Promise<T>, name: string): Promise<T> {
  const finished = new AbortController()
  const late = delay(ms, undefined, { signal: finished.signal }).then(() => { throw new ToolError(`${name} cannot be found in time.`) })
  try {
    return await Promise.race([promise, late])
  } finally {
    late.catch(() => {})
    finished.abort()
  }
}

function pinnedLookup (addresses: Address[]): LookupFunction {
  return (_hostname, { all }, callback) => {
    const [first] = addresses
    // Node asks for all addresses if it may try several, else for one.
    if (all) callback(null, addresses)
    else callback(null, first!.address, first!.family)
  }
}
