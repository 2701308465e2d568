import { errors } from '../errors.ts'

/** Characters; longer texts are not access tokens of Supabase. */
export const MAX_TOKEN_LENGTH = 8192

/** What a caller shows to say who they are. */
export interface Credentials {
  kind: 'access_token' | 'api_key'
  text: string
}

/**
 * The credentials of a request. If it has both, as the widget's have, the API key counts; an empty header counts as none.
 * @param apiKey the x-api-key header, if there is one. Whatever it begins with, the hash decides whose key it is.
 * @param authorization the authorization header, if there is one.
 * @throws {ServiceError} unauthorized, if neither holds credentials.
 */
export function readCredentials (apiKey: string | string[] | null | undefined, authorization: string | null | undefined): Credentials {
  if (typeof apiKey === 'string' && apiKey !== '') return { kind: 'api_key', text: apiKey }
  const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
  if (!token) throw errors.unauthorized('Send an access token as Authorization: Bearer, or an API key as x-api-key.')
  return credentialsOf(token)
}

/** What is no JSON Web Token is taken for an API key. */
export function credentialsOf (text: string): Credentials {
  return { kind: isJsonWebToken(text) ? 'access_token' : 'api_key', text }
}

/** The user of an API key, by the answer of `authenticate_api_key`. @throws {ServiceError} unauthorized, if the key has none. */
export function ownerOfKey ({ userId }: { userId: string | null }): string {
  if (!userId) throw errors.unauthorized('The API key is unknown or no longer active.')
  return userId
}

/** Whether a text has the form of a signed token: three parts in base64url, the first of which is a JSON object. */
function isJsonWebToken (text: string): boolean {
  const [, header] = /^([\w-]+)\.[\w-]*\.[\w-]*$/.exec(text) ?? []
  if (header === undefined) return false
  try {
    return typeof JSON.parse(atob(header.replaceAll('-', '+').replaceAll('_', '/'))) === 'object'
  } catch {
    return false
  }
}
