import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'

export interface Address { address: string, family: number }

/** Milliseconds for which the file is not read again. */
const MAX_AGE = 30_000
const LOOPBACK: readonly Address[] = [{ address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 }]

/** The names of the system's hosts file, which c-ares does not read, and `localhost`. */
export class HostsFile {
  #names: Promise<Map<string, Address[]>> | undefined
  #readAt = -Infinity

  constructor (private readonly path = '/etc/hosts') {}

  /** The addresses of a name; none if the file does not have it, or cannot be read. @param name in lower case. */
  async find (name: string): Promise<readonly Address[]> {
    const found = (await this.#read()).get(name)
    if (found) return found
    return name === 'localhost' || name.endsWith('.localhost') ? LOOPBACK : []
  }

  #read (): Promise<Map<string, Address[]>> {
    if (!this.#names || performance.now() - this.#readAt > MAX_AGE) {
      this.#readAt = performance.now()
      this.#names = readFile(this.path, 'utf8').then(parseHosts, () => new Map<string, Address[]>())
    }
    return this.#names
  }
}

function parseHosts (text: string): Map<string, Address[]> {
  const names = new Map<string, Address[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...aliases] = line.split('#', 1)[0]!.trim().split(/\s+/)
    const family = isIP(address)
    if (family === 0) continue
    for (const alias of aliases.map(alias => alias.toLowerCase())) names.set(alias, [...names.get(alias) ?? [], { address, family }])
  }
  return names
}
