import { promises as dns } from 'node:dns'
import { lookup as systemLookup } from 'node:dns/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { type SlotTicket, Slots } from '../../../lib/slots.js'
import { ToolError } from '../tool.js'
import { type Address, HostsFile } from './hosts-file.js'

/** How many names are looked up at a time, and how many of them for one user. */
const MAX_LOOKUPS = 64
const MAX_LOOKUPS_OF_USER = 4
/** Milliseconds for the first question to a name server, and how often it is asked. */
const QUERY_TIMEOUT = 1500
const QUERY_TRIES = 2

export interface NameResolverOptions {
  /** Names of the operator that only the system may know, such as those of a container network. */
  isOperators? (name: string): boolean
  /** Name servers, as `dns.setServers` takes them; by default those of the system. */
  servers?: readonly string[]
  hostsFile?: HostsFile
}

/**
 * Looks up the names that tools connect to. It asks name servers by c-ares: the system's resolver would take the few
 * threads in which the names of the gateway, the database and Redis are looked up too.
 */
export class NameResolver {
  readonly #slots = new Slots({ maxConcurrent: MAX_LOOKUPS, maxPerUser: MAX_LOOKUPS_OF_USER, maxWaiting: Infinity })
  readonly #resolver = new dns.Resolver({ timeout: QUERY_TIMEOUT, tries: QUERY_TRIES })
  readonly #hosts: HostsFile

  constructor (private readonly options: NameResolverOptions = {}) {
    this.#hosts = options.hostsFile ?? new HostsFile()
    if (options.servers) this.#resolver.setServers(options.servers)
  }

  /**
   * @param userId whose tool it is; their names wait for each other.
   * @param ms milliseconds until it is given up, the wait included.
   * @returns the addresses; those of IPv4 come first.
   * @throws {ToolError} if there is no answer in time; an error with the code ENOTFOUND if there are no addresses.
   */
  async resolve (name: string, userId: string, ms: number): Promise<Address[]> {
    const ticket = this.#slots.acquireOrWait(userId)
    return withTimeout(ms, this.#inSlot(ticket, name.toLowerCase()), name).finally(() => ticket.release())
  }

  async #inSlot (ticket: SlotTicket, name: string): Promise<Address[]> {
    await ticket.turn
    const known = await this.#hosts.find(name)
    if (known.length > 0) return [...known]
    const found = await this.#ask(name)
    if (found.length > 0) return found
    if (this.options.isOperators?.(name)) return systemLookup(name, { all: true, verbatim: true })
    throw Object.assign(new Error(`${name} has no addresses`), { code: 'ENOTFOUND' })
  }

  async #ask (name: string): Promise<Address[]> {
    const [v4, v6] = await Promise.allSettled([this.#resolver.resolve4(name), this.#resolver.resolve6(name)])
    return [...addressesOf(v4, 4), ...addressesOf(v6, 6)]
  }
}

function addressesOf (answer: PromiseSettledResult<string[]>, family: number): Address[] {
  return answer.status === 'fulfilled' ? answer.value.map(address => ({ address, family })) : []
}

/** @throws {ToolError} after the timeout. */
export async function withTimeout<T> (ms: number, promise: Promise<T>, name: string): Promise<T> {
  const finished = new AbortController()
  const late = delay(ms, undefined, { signal: finished.signal }).then(() => { throw new ToolError(`${name} cannot be found in time.`) })
  try {
    return await Promise.race([promise, late])
  } finally {
    late.catch(() => {})
    finished.abort()
  }
}
