import type { SupabaseClient } from '@supabase/supabase-js'
import { errors } from '../../_shared/errors.ts'
import { MAX_TOKEN_LENGTH, ownerOfKey, readCredentials } from '../../_shared/http/credentials.ts'
import { UUID } from '../../_shared/uuid.ts'
import type { Database } from '../database.ts'
import { sha256 } from '../sha256.ts'

/**
 * The id of the user on whose behalf a request is made, by its access token or API key.
 * @throws {ServiceError} unauthorized, keys_unavailable, database_unavailable.
 */
export async function findCaller (headers: Headers, supabase: () => SupabaseClient, database: Database): Promise<string> {
  const { kind, text } = readCredentials(headers.get('x-api-key'), headers.get('authorization'))
  return kind === 'api_key' ? userOfKey(text, database) : userOfToken(text, supabase())
}

async function userOfKey (key: string, database: Database): Promise<string> {
  return ownerOfKey(await database.call('authenticate_api_key', { p_key_hash: await sha256(key) }))
}

/** Verifies an access token with the project's published keys or, if tokens are signed with a shared secret, by its auth server. */
async function userOfToken (token: string, { auth }: SupabaseClient): Promise<string> {
  const invalid = errors.unauthorized('The access token is not valid.')
  // The keys of a project are tokens too, but of no user; they are rejected without asking the auth server.
  const claims = token.length <= MAX_TOKEN_LENGTH ? readClaims(token) : undefined
  if (!claims || claims.role !== 'authenticated' || typeof claims.sub !== 'string' || !UUID.test(claims.sub)) throw invalid
  if (![claims.aud].flat().includes('authenticated') || typeof claims.exp !== 'number') throw invalid
  if (claims.exp * 1000 <= Date.now()) throw errors.unauthorized('The access token has expired.')
  const { error } = await auth.getClaims(token).catch(error => ({ error }))
  if (error?.name === 'AuthRetryableFetchError' || error?.status >= 500) throw errors.keysUnavailable().with({ cause: error })
  if (error) throw invalid
  return claims.sub.toLowerCase()
}

/** The claims of a token that has not been verified; undefined if they cannot be read. */
function readClaims (token: string): Record<string, unknown> | undefined {
  try {
    const [, payload] = token.split('.')
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), character => character.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(bytes)) ?? undefined
  } catch {
    return undefined
  }
}
