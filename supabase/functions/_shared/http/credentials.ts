import { errors } from '../errors.ts'
import { keyOfVisitorToken } from './visitor-token.ts'

/** Characters; longer texts are not access tokens of Supabase. */
export const MAX_TOKEN_LENGTH = 8192
/** Characters; longer headers are not kept. */
const MAX_HEADER = 512

/** What a caller shows to say who they are. */
export type Credentials = { kind: 'access_token', text: string } | KeyCredentials

/** An API key, maybe with the token of a visitor beside it, or such a token alone, which names its key. */
export interface KeyCredentials {
  kind: 'api_key' | 'visitor_token'
  text: string
  visitorToken?: string
}

/**
 * The credentials of a request. If it has both, as the widget's have, the API key counts, with the token of its visitor if
 * the other is one; an empty header counts as none, also if it comes twice, and is joined by a comma.
 * @param apiKey the x-api-key header, if there is one. Whatever it begins with, the hash decides whose key it is.
 * @param authorization the authorization header, if there is one.
 * @throws {ServiceError} unauthorized, if neither holds credentials.
 */
export function readCredentials (apiKey: string | string[] | null | undefined, authorization: string | null | undefined): Credentials {
  const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
  const bearer = token === undefined ? undefined : credentialsOf(token)
  if (typeof apiKey === 'string' && /[^\s,]/.test(apiKey)) {
    return { kind: 'api_key', text: apiKey, visitorToken: bearer?.kind === 'visitor_token' ? token : undefined }
  }
  if (!bearer) throw errors.unauthorized('Send an access token as Authorization: Bearer, or an API key as x-api-key.')
  return bearer
}

/** What is no JSON Web Token is taken for an API key. */
export function credentialsOf (text: string): Credentials {
  if (!isJsonWebToken(text)) return { kind: 'api_key', text }
  const isVisitors = text.length <= MAX_TOKEN_LENGTH && keyOfVisitorToken(text) !== undefined
  return { kind: isVisitors ? 'visitor_token' : 'access_token', text }
}

/** The last header that was one: a project's tokens have few. */
let lastHeader: string | undefined

/** Whether a text has the form of a signed token: three parts in base64url, the first of which is a JSON object. */
function isJsonWebToken (text: string): boolean {
  const [, header] = /^([\w-]+)\.[\w-]*\.[\w-]*$/.exec(text) ?? []
  if (header === undefined) return false
  if (header === lastHeader) return true
  try {
    if (typeof JSON.parse(atob(header.replaceAll('-', '+').replaceAll('_', '/'))) !== 'object') return false
    lastHeader = header.length <= MAX_HEADER ? header : undefined
    return true
  } catch {
    return false
  }
}
