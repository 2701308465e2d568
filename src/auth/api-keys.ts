import { createHash } from 'node:crypto'
import { ownerOfKey } from '#shared/http/credentials.ts'
import type { Caller } from '../contract/caller.js'
import type { Database } from '../database/port.js'
import { WindowCounter } from '../lib/window-counter.js'

/** How long a key that was good counts as known, and how many do. */
const KNOWN_MS = 600_000
const MAX_KNOWN = 10_000
/** How many unknown keys an address may still try within so many milliseconds when its attempts are used up. */
const SPARE_ATTEMPTS = 3
const SPARE_MS = 3_000

/** Where a key comes from. */
export interface Attempt {
  /** The name under which its address is counted. */
  readonly address: string
  /** Counts an attempt of the address. Throws `rate_limited`. */
  count (): Promise<void>
}

/**
 * Finds the owners of API keys by the keys' hashes; the database never sees a key. A key that is not known to have been good
 * counts as an attempt of its address before the database is asked. When those are used up, only a few are still
 * tried, so that others behind the same address get in. To be known allows a key to be asked for, and nothing more: a revoked key is
 * refused at once.
 */
export class ApiKeys {
  /** When the keys with these hashes were last seen to be good. */
  readonly #known = new Map<string, number>()
  readonly #spare = new WindowCounter(SPARE_ATTEMPTS, SPARE_MS)

  constructor (private readonly database: Pick<Database, 'call'>) {}

  /** @throws {ServiceError} unauthorized, rate_limited, database_unavailable. */
  async authenticate (key: string, attempt: Attempt): Promise<Caller> {
    const keyHash = sha256(key).toString('hex')
    const isKnown = this.#isKnown(keyHash)
    const refusal = isKnown ? undefined : await this.#count(attempt)
    const owner = await this.database.call('authenticate_api_key', { p_key_hash: keyHash })
    if (!owner.userId) {
      this.#known.delete(keyHash)
      if (isKnown) await attempt.count()
      if (refusal) throw refusal
    }
    const userId = ownerOfKey(owner)
    this.#remember(keyHash)
    return { kind: 'api_key', userId, keyHash, expiresAt: Infinity }
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

  #isKnown (keyHash: string): boolean {
    return (this.#known.get(keyHash) ?? -Infinity) > Date.now() - KNOWN_MS
  }

  #remember (keyHash: string): void {
    this.#known.delete(keyHash)
    if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!)
    this.#known.set(keyHash, Date.now())
  }
}

export function sha256 (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
