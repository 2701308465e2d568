import { KeyObject } from 'node:crypto'
import { errors } from '#shared/errors.ts'

/** How often an unknown `kid` may have the keys fetched again; how long fetched keys are current; the pause after a failure. */
const COOLDOWN_MS = 60_000
const MAX_AGE_MS = 600_000
const FAILURE_PAUSE_MS = 1_000
const NO_SUCH_KEY = new Set(['ERR_JWKS_NO_MATCHING_KEY', 'ERR_JWKS_MULTIPLE_MATCHING_KEYS', 'ERR_JOSE_NOT_SUPPORTED'])

/**
 * Finds a public key, as PEM.
 * @throws {ServiceError} keys_unavailable where the keys cannot be fetched and this one was not seen before; jose's own
 * errors where there is no such key.
 */
export type PublicKeyFinder = (alg: string, kid?: string) => Promise<string>

/** Finds the keys that a project publishes at a URL. jose fetches and caches them, and bounds how often it does. */
export async function createPublicKeyFinder (url: string): Promise<PublicKeyFinder> {
  const { createRemoteJWKSet } = await import('jose')
  const findKey = createRemoteJWKSet(new URL(url), { cooldownDuration: COOLDOWN_MS, cacheMaxAge: MAX_AGE_MS })
  const known = new Map<string, string>()
  let failedAt = -Infinity

  return async function findPublicKey (alg, kid) {
    const name = `${alg} ${kid}`
    if (Date.now() - failedAt < FAILURE_PAUSE_MS) return requireKnown(name)
    try {
      const key = await findKey({ alg, kid })
      const pem = KeyObject.from(key as never).export({ type: 'spki', format: 'pem' }).toString()
      known.set(name, pem)
      return pem
    } catch (error) {
      if (NO_SUCH_KEY.has((error as { code?: string }).code ?? '')) throw error
      failedAt = Date.now()
      return requireKnown(name)
    }
  }

  /** While the keys cannot be fetched, those that were seen before hold. */
  function requireKnown (name: string): string {
    const pem = known.get(name)
    if (pem === undefined) throw errors.keysUnavailable()
    return pem
  }
}
