import type { Caller } from './caller.ts'
import type { ApiKeyArguments, FoundApiKey } from '../database/functions.ts'
import { errors } from '../errors.ts'
import type { KeyCredentials } from './credentials.ts'
import { keyOfVisitorToken, verifyVisitorToken } from './visitor-token.ts'

/** The caller that a key speaks for, and the key. */
export interface KeyCaller { caller: Caller, key: FoundApiKey }

export interface KeyFinder {
  /** Calls `authenticate_api_key`. */
  find (args: ApiKeyArguments): Promise<FoundApiKey>
  /** The SHA-256 of a key, in lower-case hex. */
  hash (key: string): string | Promise<string>
}

/**
 * Finds whose an API key is, or whose visitor a token names, and what the caller may. A publishable key without a token is
 * of a new visitor each time: what it begins can be followed on the same connection, and by nobody else.
 * @param origin the Origin header. A key with origins is refused to pages of others, and to callers that send none.
 * @throws {ServiceError} unauthorized, forbidden, not_configured, and what `find` throws.
 */
export async function authenticateKey (finder: KeyFinder, credentials: KeyCredentials, origin: string | null | undefined): Promise<KeyCaller> {
  const key = await findKey(finder, credentials)
  if (key.origins && key.origins.length > 0 && !key.origins.includes(origin ?? '')) throw errors.originNotAllowed()
  const common = { userId: key.userId, apiKeyId: key.apiKeyId }
  const token = credentials.kind === 'visitor_token' ? credentials.text : credentials.visitorToken
  if (!key.isPublishable) {
    if (token !== undefined) throw errors.unauthorized('The visitor\'s token is another key\'s.')
    return { key, caller: { ...common, kind: 'api_key', visitor: null, expiresAt: Infinity, mayRead: key.scopes.includes('read') } }
  }
  const visitor = token === undefined
    ? { visitor: crypto.randomUUID(), expiresAt: Infinity }
    : await verifyVisitorToken(token, requireSecret(key), key.apiKeyId)
  return { key, caller: { ...common, ...visitor, kind: 'visitor', mayRead: false } }
}

type KnownApiKey = Extract<FoundApiKey, { userId: string }>

async function findKey ({ find, hash }: KeyFinder, { kind, text }: KeyCredentials): Promise<KnownApiKey> {
  const key = await find(kind === 'visitor_token'
    ? { p_key_hash: null, p_api_key_id: keyOfVisitorToken(text)! }
    : { p_key_hash: await hash(text), p_api_key_id: null })
  if (key.userId === null) throw errors.unauthorized('The API key is unknown or no longer active.')
  return key
}

/** The secret that signs the tokens of a publishable key's visitors. @throws {ServiceError} forbidden, not_configured. */
export function requireSecret (key: FoundApiKey): string {
  if (!key.isPublishable) throw errors.visitorRequired()
  if (key.visitorSecret === null) throw errors.notConfigured().with({ reason: 'the table visitor_secret has no row' })
  return key.visitorSecret
}
