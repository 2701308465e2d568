import { type Caller, userOfClaims } from '#shared/http/caller.ts'
import { errors } from '#shared/errors.ts'
import { MAX_TOKEN_LENGTH } from '#shared/http/credentials.ts'
import type { PublicKeyFinder } from './jwks.js'

/** How long a verified token is cached, and how many are: verifying a signature costs as much as a run's own work. */
const CACHE_MS = 30_000
const MAX_CACHED = 5_000

interface Claims { sub?: unknown, role?: unknown, iss?: unknown, session_id?: unknown, exp: number }
interface Header { alg: string, kid?: string }
interface VerifyOptions { key: string, algorithms: Array<'HS256' | 'ES256' | 'RS256'> }

export type TokenVerifier = (token: string) => Promise<Caller>

export interface TokenVerifierOptions {
  /** Reads a token's header without verifying anything. Throws for what is no token. */
  decode (token: string): { header: Header }
  /** Verifies signature and claims. Throws FAST_JWT_EXPIRED and other codes of fast-jwt. */
  verify (token: string, options: VerifyOptions): Claims
  /** The shared secrets for HS256: the one that signs, and while that is changed the one before. */
  secrets: string[]
  /** Finds the project's published keys, for ES256 and RS256. */
  findKey?: PublicKeyFinder
  /** Who has to have issued a token that names its issuer. */
  issuer?: string
}

/**
 * Verifies Supabase's access tokens: HS256 by the shared secret, ES256 and RS256 by the project's published keys.
 * @throws {ServiceError} unauthorized, keys_unavailable.
 */
export function createTokenVerifier ({ decode, verify, secrets, findKey, issuer }: TokenVerifierOptions): TokenVerifier {
  /** The algorithm decides on the key, so that no public key is ever taken for a shared secret. */
  async function optionsFor ({ alg, kid }: Header): Promise<VerifyOptions[]> {
    if (alg === 'HS256') return secrets.map(key => ({ algorithms: ['HS256'], key }))
    return (alg === 'ES256' || alg === 'RS256') && findKey ? [{ algorithms: [alg], key: await findKey(alg, kid) }] : []
  }

  /** @throws what the token is told by the key that has signed it, or by the last. */
  function verifyByAny (token: string, [first, ...others]: VerifyOptions[]): Claims {
    if (!first) throw new Error('No key is known for its algorithm.')
    try {
      return verify(token, first)
    } catch (error) {
      if (others.length === 0 || (error as { code?: string }).code !== 'FAST_JWT_INVALID_SIGNATURE') throw error
      return verifyByAny(token, others)
    }
  }

  return withCache(async token => {
    const invalid = () => errors.unauthorized('The access token is not valid.')
    if (token.length > MAX_TOKEN_LENGTH) throw invalid()
    let claims: Claims
    try {
      claims = verifyByAny(token, await optionsFor(decode(token).header))
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === errors.keysUnavailable.code) throw error
      throw code === 'FAST_JWT_EXPIRED' ? errors.unauthorized('The access token has expired.') : invalid()
    }
    const { iss, exp } = claims
    const isOurs = issuer === undefined || iss === undefined || iss === issuer
    const user = isOurs ? userOfClaims(claims, exp * 1000) : undefined
    if (!user) throw invalid()
    return user
  })
}

/** Caches the callers of the latest tokens, for a short while and never beyond a token's end. */
function withCache (verify: TokenVerifier): TokenVerifier {
  const cache = new Map<string, { caller: Caller, until: number }>()
  return async token => {
    const cached = cache.get(token)
    if (cached && cached.until > Date.now()) return cached.caller
    cache.delete(token)
    const caller = await verify(token)
    if (cache.size >= MAX_CACHED) cache.delete(cache.keys().next().value!)
    cache.set(token, { caller, until: Math.min(caller.expiresAt, Date.now() + CACHE_MS) })
    return caller
  }
}
