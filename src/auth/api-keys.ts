import { createHash, randomInt } from 'node:crypto'
import { errors } from '#shared/errors.ts'
import { requireSecret } from '#shared/http/authenticate-key.ts'
import type { Caller } from '#shared/http/caller.ts'
import { signVisitorToken, type VisitorToken } from '#shared/http/visitor-token.ts'
import type { ApiKey, CreatedApiKey, KeyBody } from '../contract/api-keys.js'
import type { Database } from '../database/port.js'
import { limitsOf } from './key-limits.js'

const PREFIX = { secret: 'jsk_', publishable: 'jpk_' }
const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
/** Characters of a key: those after the prefix, and those by which its owner knows it again. */
const LENGTH = 32
const SHOWN_LENGTH = 12
const MAX_LISTED = 500

/** The API keys of users, and the tokens of their visitors. */
export class ApiKeys {
  constructor (private readonly database: Pick<Database, 'call'>) {}

  /** A user's keys, revoked ones too, newest first. */
  list (userId: string): Promise<{ keys: ApiKey[] }> {
    return this.database.call('list_api_keys', { p_user_id: userId, p_limit: MAX_LISTED })
  }

  /**
   * Makes a key. The answer alone has it: only its hash is stored.
   * @throws {ServiceError} bad_request, agent_not_found, too_many_keys, unauthorized.
   */
  async create (userId: string, body: KeyBody): Promise<CreatedApiKey> {
    const limits = limitsOf(body)
    const key = PREFIX[limits.publishable ? 'publishable' : 'secret'] + Array.from({ length: LENGTH }, () => CHARACTERS[randomInt(CHARACTERS.length)]).join('')
    const created = await this.database.call('create_api_key', {
      p_user_id: userId,
      p_name: body.name,
      p_key_hash: sha256(key).toString('hex'),
      p_key_prefix: key.slice(0, SHOWN_LENGTH),
      p_limits: limits
    })
    return { ...created, key }
  }

  /** Revokes a key; repeated, it changes nothing. @throws {ServiceError} key_not_found. */
  revoke (userId: string, keyId: string): Promise<ApiKey> {
    return this.database.call('revoke_api_key', { p_user_id: userId, p_api_key_id: keyId })
  }

  /**
   * Signs a token of the visitor as whom a publishable key, or an earlier token, was authenticated.
   * @throws {ServiceError} forbidden for any other caller, unauthorized.
   */
  async visitorToken ({ kind, apiKeyId, visitor }: Caller): Promise<VisitorToken> {
    if (kind !== 'visitor') throw errors.visitorRequired()
    const key = await this.database.call('authenticate_api_key', { p_key_hash: null, p_api_key_id: apiKeyId })
    return signVisitorToken(requireSecret(key), apiKeyId!, visitor!)
  }
}

export function sha256 (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
