import type { SupabaseClient } from '@supabase/supabase-js'
import type { Database } from './database.ts'
import { errors } from './errors.ts'

const API_KEY = /^jeesi_[\x21-\x7e]{1,250}$/
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const MAX_TOKEN_LENGTH = 8192

/**
 * The id of the user on whose behalf a request is made. An API key beside a session's token, as the widget sends both,
 * is the more particular of the two.
 * @throws {EdgeError} unauthorized, keys_unavailable, database_unavailable.
 */
export async function findCaller (headers: Headers, supabase: () => SupabaseClient, database: Database): Promise<string> {
  const key = headers.get('x-api-key')
  if (key !== null) return userOfKey(key, database)
  const token = /^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1]
  if (!token) throw errors.unauthorized('Send an access token as Authorization: Bearer, or an API key as x-api-key.')
  return API_KEY.test(token) ? userOfKey(token, database) : userOfToken(token, supabase())
}

async function userOfKey (key: string, database: Database): Promise<string> {
  if (!API_KEY.test(key)) throw errors.unauthorized('The x-api-key header holds no API key of this platform.')
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key)))
  const { userId } = await database.call<{ userId: string | null }>('authenticate_api_key', { p_key_hash: toHex(digest) })
  if (!userId) throw errors.unauthorized('The API key is unknown or no longer active.')
  return userId
}

/** Checked with the project's published keys or, where tokens are signed by a shared secret, by its auth server. */
async function userOfToken (token: string, { auth }: SupabaseClient): Promise<string> {
  const invalid = errors.unauthorized('The access token is not valid.')
  // The keys of a project are tokens too, of nobody; for them no server has to be asked.
  const claims = token.length <= MAX_TOKEN_LENGTH ? readClaims(token) : undefined
  if (!claims || claims.role !== 'authenticated' || typeof claims.sub !== 'string' || !UUID.test(claims.sub)) throw invalid
  if (![claims.aud].flat().includes('authenticated') || typeof claims.exp !== 'number') throw invalid
  if (claims.exp * 1000 <= Date.now()) throw errors.unauthorized('The access token has expired.')
  const { error } = await auth.getClaims(token).catch(error => ({ error }))
  if (error?.name === 'AuthRetryableFetchError' || error?.status >= 500) throw errors.keysUnavailable().with({ cause: error })
  if (error) throw invalid
  return claims.sub.toLowerCase()
}

/** What a token says, believed by nobody yet. */
function readClaims (token: string): Record<string, unknown> | undefined {
  try {
    const [, payload] = token.split('.')
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), character => character.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(bytes)) ?? undefined
  } catch {
    return undefined
  }
}

function toHex (bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}
