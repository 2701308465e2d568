import { errors } from '../errors.ts'

const API_KEY = /^jeesi_[\x21-\x7e]{1,250}$/

/** Characters; longer texts are not access tokens of Supabase. */
export const MAX_TOKEN_LENGTH = 8192

export function isApiKey (text: string): boolean {
  return API_KEY.test(text)
}

/**
 * The access token or API key of a request. If a request has both, as the widget's have, the API key counts.
 * @param apiKey the x-api-key header, if there is one.
 * @param authorization the authorization header, if there is one.
 * @throws {ServiceError} unauthorized, if neither holds credentials.
 */
export function readCredentials (apiKey: string | string[] | null | undefined, authorization: string | null | undefined): string {
  if (typeof apiKey === 'string') {
    if (isApiKey(apiKey)) return apiKey
    throw errors.unauthorized('The x-api-key header holds no API key of this platform.')
  }
  const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
  if (!token) throw errors.unauthorized('Send an access token as Authorization: Bearer, or an API key as x-api-key.')
  return token
}

/** The user of an API key, by the answer of `authenticate_api_key`. @throws {ServiceError} unauthorized, if the key has none. */
export function ownerOfKey ({ userId }: { userId: string | null }): string {
  if (!userId) throw errors.unauthorized('The API key is unknown or no longer active.')
  return userId
}
