import { createHash } from 'node:crypto'
import { ownerOfKey } from '#shared/http/credentials.ts'
import type { Caller } from '../contract/caller.js'
import type { Database } from '../database/port.js'

/**
 * Finds the owner of an API key by the key's hash; the database never sees the key.
 * @throws {ServiceError} unauthorized, database_unavailable.
 */
export async function authenticateApiKey (database: Pick<Database, 'call'>, key: string): Promise<Caller> {
  const owner = await database.call('authenticate_api_key', { p_key_hash: sha256(key).toString('hex') })
  return { kind: 'api_key', userId: ownerOfKey(owner), expiresAt: Infinity }
}

export function sha256 (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
