import { lookup as systemLookup } from 'node:dns/promises'
import { isIP, type LookupFunction } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { buildConnector } from 'undici'
import { ToolError } from '../tool.js'
import { isExcepted, isPublic, type PrivateHost } from './address.js'

const CONNECT_TIMEOUT = 5000

export interface Address { address: string, family: number }

export interface ConnectorOptions {
  /** What may be reached although it is not public. */
  privateHosts?: readonly PrivateHost[]
  /** How a name becomes addresses; by default as the system has it. */
  lookup? (name: string): Promise<Address[]>
  /** Milliseconds for the addresses and then for the connection, TLS included. */
  connectTimeout?: number
}

/** None of a host's addresses is one that may be connected to. */
export class NotPublic extends Error {}

/**
 * Connects to what a name means, where that is public, or excepted. The addresses that were checked are the ones that
 * are connected to: the name is not looked up again.
 */
export function createConnector (options: ConnectorOptions): buildConnector.connector {
  const timeout = options.connectTimeout ?? CONNECT_TIMEOUT
  return (target, callback) => {
    findAddresses(target, options, timeout).then(
      addresses => buildConnector({ timeout, lookup: pinned(addresses) })(target, callback),
      error => callback(error, null))
  }
}

async function findAddresses ({ hostname, protocol, port }: buildConnector.Options, options: ConnectorOptions, timeout: number): Promise<Address[]> {
  const family = isIP(hostname)
  const found = family ? [{ address: hostname, family }] : await within(timeout, (options.lookup ?? lookup)(hostname), hostname)
  const portNumber = Number(port) || (protocol === 'https:' ? 443 : 80)
  const addresses = found.filter(({ address }) =>
    isPublic(address) || isExcepted(options.privateHosts ?? [], hostname, address, portNumber))
  if (addresses.length === 0) throw new NotPublic()
  return addresses
}

function lookup (name: string): Promise<Address[]> {
  return systemLookup(name, { all: true, verbatim: true })
}

async function within<T> (ms: number, promise: Promise<T>, name: string): Promise<T> {
  const enough = new AbortController()
  const late = delay(ms, undefined, { signal: enough.signal }).then(() => { throw new ToolError(`${name} cannot be found in time.`) })
  try {
    return await Promise.race([promise, late])
  } finally {
    late.catch(() => {})
    enough.abort()
  }
}

function pinned (addresses: Address[]): LookupFunction {
  return (_hostname, { all }, callback) => {
    const [first] = addresses
    // Both forms are asked for, by what tries several addresses and by what takes the first.
    if (all) callback(null, addresses)
    else callback(null, first!.address, first!.family)
  }
}
