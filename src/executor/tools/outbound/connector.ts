import { isIP, type LookupFunction, type Socket } from 'node:net'
import { buildConnector } from 'undici'
import { isExcepted, isPublic, type PrivateHost } from '#shared/http/addresses.ts'
import type { Address } from './hosts-file.js'
import { NameResolver, withTimeout } from './name-resolver.js'
import { limitRawBytes } from './raw-bytes.js'

const CONNECT_TIMEOUT = 5000

export interface ConnectorOptions {
  /** Hosts that may be connected to although they are not public. */
  privateHosts?: readonly PrivateHost[]
  /** Resolves a name; by default with a `NameResolver`. */
  lookup? (name: string): Promise<Address[]>
  /** Name servers instead of the system's. */
  nameServers?: readonly string[]
  /** Milliseconds for the lookup, and again for the connection with TLS. */
  connectTimeout?: number
}

/** Tools may not connect to any of a host's addresses. */
export class NotPublicError extends Error {}

/** What a connector needs beside its options. */
export interface ConnectorContext {
  /** Whose request it is that opens a connection now. */
  userId (): string
  /** Called with each connection that was opened. */
  onOpen (socket: Socket): void
}

/**
 * Creates a connector that connects only to public addresses and exceptions. It connects to the very addresses that it
 * checked, without another lookup, so that a name cannot change its address in between.
 */
export function createConnector (options: ConnectorOptions, context: ConnectorContext): buildConnector.connector {
  const { connectTimeout: timeout = CONNECT_TIMEOUT, privateHosts = [], lookup, nameServers: servers } = options
  const names = new NameResolver({ servers, isOperators: name => privateHosts.some(({ host }) => host === name) })
  return (target, callback) => {
    const { hostname } = target
    const userId = context.userId()
    const find = () => lookup ? withTimeout(timeout, lookup(hostname), hostname) : names.resolve(hostname, userId, timeout)
    findAddresses(target, privateHosts, find).then(
      addresses => buildConnector({ timeout, lookup: pinnedLookup(addresses) })(target, (...outcome) => {
        const [, socket] = outcome
        if (socket) {
          limitRawBytes(socket, hostname)
          context.onOpen(socket)
        }
        callback(...outcome)
      }),
      error => callback(error, null))
  }
}

async function findAddresses (
  { hostname, protocol, port }: buildConnector.Options, privateHosts: readonly PrivateHost[], find: () => Promise<Address[]>
): Promise<Address[]> {
  const family = isIP(hostname)
  const found = family ? [{ address: hostname, family }] : await find()
  const portNumber = Number(port) || (protocol === 'https:' ? 443 : 80)
  const addresses = found.filter(({ address }) => isPublic(address) || isExcepted(privateHosts, hostname, address, portNumber))
  if (addresses.length === 0) throw new NotPublicError()
  return addresses
}

function pinnedLookup (addresses: Address[]): LookupFunction {
  return (_hostname, { all }, callback) => {
    const [first] = addresses
    // Node asks for all addresses if it may try several, else for one.
    if (all) callback(null, addresses)
    else callback(null, first!.address, first!.family)
  }
}
