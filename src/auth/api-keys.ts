import { createHash } from 'node:crypto'
import { errors } from '#shared/errors.ts'
import type { Caller } from '../contract/caller.js'
import type { Database } from '../database/port.js'

const API_KEY = /^jeesi_[\x21-\x7e]{1,250}$/

export function isApiKey (text: string): boolean {
  return API_KEY.test(text)
}

/**
 * Finds the owner of an API key by the key's hash; the database never sees the key.
 * @throws {ServiceError} unauthorized, database_unavailable.
 */
export async function authenticateApiKey (database: Pick<Database, 'call'>, key: string): Promise<Caller> {
  const { userId } = await database.call<{ userId: string | null }>('authenticate_api_key', { p_key_hash: sha256(key).toString('hex') })
  if (!userId) throw errors.unauthorized('The API key is unknown or no longer active.')
  return { kind: 'api_key', userId, expiresAt: Infinity }
}

export function sha256 (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
