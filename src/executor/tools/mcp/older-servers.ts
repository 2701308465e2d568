/** For how long a server counts as an older one, in milliseconds: then it is asked again. */
const FOR_MS = 60 * 60_000
const MAX_SERVERS = 1_000

/** The servers that know nothing but the handshake of the protocol before 2026-07-28: it is begun at once with them. */
export class OlderServers {
  /** Until when, by address. */
  readonly #until = new Map<string, number>()

  /** @param now the clock; only tests set it. */
  constructor (private readonly now: () => number = () => performance.now()) {}

  has (url: URL): boolean {
    const until = this.#until.get(addressOf(url))
    return until !== undefined && until > this.now()
  }

  add (url: URL): void {
    this.delete(url)
    this.#until.set(addressOf(url), this.now() + FOR_MS)
    const [oldest] = this.#until.keys()
    if (this.#until.size > MAX_SERVERS) this.#until.delete(oldest!)
  }

  delete (url: URL): void {
    this.#until.delete(addressOf(url))
  }
}

/** Without the query, which may have a key in it. */
function addressOf ({ origin, pathname }: URL): string {
  return origin + pathname
}
