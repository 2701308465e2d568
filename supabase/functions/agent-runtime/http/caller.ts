import type { SupabaseClient } from '@supabase/supabase-js'
import { errors } from '../../_shared/errors.ts'
import { authenticateKey, type KeyCaller, requireSecret } from '../../_shared/http/authenticate-key.ts'
import { type Caller, userOfClaims } from '../../_shared/http/caller.ts'
import { type KeyCredentials, MAX_TOKEN_LENGTH, readCredentials } from '../../_shared/http/credentials.ts'
import { readClaims, signVisitorToken, type VisitorToken } from '../../_shared/http/visitor-token.ts'
import type { RequestContext } from '../context.ts'
import type { Database } from '../database.ts'
import { sha256 } from '../sha256.ts'
import { json } from './responses.ts'

/** On whose behalf a request is made. */
export interface FoundCaller {
  caller: Caller
  /** The Authorization header by which the service knows a visitor whose page sent no token. */
  authorization?: string
}

/**
 * Finds on whose behalf a request is made, by its access token, API key or visitor's token.
 * @throws {ServiceError} unauthorized, forbidden, keys_unavailable, database_unavailable.
 */
export async function findCaller ({ request: { headers }, supabase, database }: RequestContext): Promise<FoundCaller> {
  const credentials = readCredentials(headers.get('x-api-key'), headers.get('authorization'))
  if (credentials.kind === 'access_token') return { caller: await userOfToken(credentials.text, supabase()) }
  const found = await callerOfKey(credentials, headers, database)
  const isNew = found.caller.kind === 'visitor' && found.caller.expiresAt === Infinity
  return isNew ? { ...found, authorization: `Bearer ${(await visitorToken(found)).token}` } : found
}

/** Answers with a token of the visitor as whom a publishable key, or an earlier token, was authenticated. */
export async function answerVisitor ({ request: { headers }, database, fields }: RequestContext): Promise<Response> {
  const credentials = readCredentials(headers.get('x-api-key'), headers.get('authorization'))
  if (credentials.kind === 'access_token') throw errors.visitorRequired()
  const found = await callerOfKey(credentials, headers, database)
  fields.userId = found.caller.userId
  return json(201, await visitorToken(found), { 'cache-control': 'no-store' })
}

function callerOfKey (credentials: KeyCredentials, headers: Headers, database: Database): Promise<KeyCaller> {
  return authenticateKey({ find: args => database.call('authenticate_api_key', args), hash: sha256 }, credentials, headers.get('origin'))
}

function visitorToken ({ key, caller: { apiKeyId, visitor } }: KeyCaller): Promise<VisitorToken> {
  return signVisitorToken(requireSecret(key), apiKeyId!, visitor!)
}

/** Verifies an access token with the project's published keys or, if tokens are signed with a shared secret, by its auth server. */
async function userOfToken (token: string, { auth }: SupabaseClient): Promise<Caller> {
  const invalid = errors.unauthorized('The access token is not valid.')
  // The keys of a project are tokens too, but of no user; they are rejected without asking the auth server.
  const claims = token.length <= MAX_TOKEN_LENGTH ? readClaims(token) : undefined
  const user = claims && userOfClaims(claims, Number(claims.exp) * 1000)
  if (!user) throw invalid
  if (![claims.aud].flat().includes('authenticated') || typeof claims.exp !== 'number') throw invalid
  if (user.expiresAt <= Date.now()) throw errors.unauthorized('The access token has expired.')
  const { error } = await auth.getClaims(token).catch(error => ({ error }))
  if (error?.name === 'AuthRetryableFetchError' || error?.status >= 500) throw errors.keysUnavailable().with({ cause: error })
  if (error) throw invalid
  return user
}
