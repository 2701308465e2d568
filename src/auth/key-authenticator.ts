import { ServiceError } from '#shared/errors.ts'
import { authenticateKey } from '#shared/http/authenticate-key.ts'
import type { Caller } from '#shared/http/caller.ts'
import type { KeyCredentials } from '#shared/http/credentials.ts'
import type { Database } from '../database/port.js'
import { WindowCounter } from '../lib/window-counter.js'
import { sha256 } from './api-keys.js'

/** How long a key that was good counts as known, and how many do. */
const KNOWN_MS = 600_000
const MAX_KNOWN = 10_000
/** How many unknown keys an address may still try within so many milliseconds when its attempts are used up. */
const SPARE_ATTEMPTS = 3
const SPARE_MS = 3_000

/** Where a key comes from. */
export interface Attempt {
  /** The Origin header of the request, if there is one. */
  readonly origin: string | undefined
  /** The name under which its address is counted. */
  readonly address: string
  /** Counts an attempt of the address. Throws `rate_limited`. */
  count (): Promise<void>
}

/**
 * Finds the callers that API keys and the tokens of visitors speak for; the database never sees a key. What is not known to
 * have been good counts as an attempt of its address before the database is asked. When those are used up, only a few are
 * still tried, so that others behind the same address get in. To be known allows a key to be asked for, and nothing more: a
 * revoked key is refused at once.
 */
export class KeyAuthenticator {
  /** When the credentials with these hashes were last seen to be good. */
  readonly #known = new Map<string, number>()
  readonly #spare = new WindowCounter(SPARE_ATTEMPTS, SPARE_MS)

  constructor (private readonly database: Pick<Database, 'call'>) {}

  /** @throws {ServiceError} unauthorized, forbidden, rate_limited, database_unavailable. */
  async authenticate (credentials: KeyCredentials, attempt: Attempt): Promise<Caller> {
    const id = hashOf(`${credentials.text} ${credentials.visitorToken ?? ''}`)
    const isKnown = this.#isKnown(id)
    const refusal = isKnown ? undefined : await this.#count(attempt)
    try {
      const { caller } = await authenticateKey({ find: args => this.database.call('authenticate_api_key', args), hash: hashOf }, credentials, attempt.origin)
      this.#remember(id)
      return caller
    } catch (error) {
      if (!(error instanceof ServiceError) || !isRefusal(error)) throw error
      if (error.statusCode === 401) this.#known.delete(id)
      if (isKnown) await attempt.count()
      throw refusal ?? error
    }
  }

  /** Counts an attempt. Returns why the address has none left, if a spare one is taken for it. */
  async #count (attempt: Attempt): Promise<unknown> {
    try {
      await attempt.count()
    } catch (error) {
      if (this.#spare.take(attempt.address, 1) > 0) throw error
      return error
    }
  }

  #isKnown (id: string): boolean {
    return (this.#known.get(id) ?? -Infinity) > Date.now() - KNOWN_MS
  }

  #remember (id: string): void {
    this.#known.delete(id)
    if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(id, Date.now())
  }
}

/** Whether a caller is refused for who it is, or for the page that it comes from. */
export function isRefusal ({ statusCode }: ServiceError): boolean {
  return statusCode === 401 || statusCode === 403
}

function hashOf (text: string): string {
  return sha256(text).toString('hex')
}
