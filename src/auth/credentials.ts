import { timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { errors } from '#shared/errors.ts'
import { isApiKey, sha256 } from './api-keys.js'

/**
 * The access token or API key of a request. A key wins over a session's token, since the widget sends both.
 * @throws {ServiceError} unauthorized where there is neither.
 */
export function readCredentials (headers: IncomingHttpHeaders): string {
  const key = headers['x-api-key']
  if (typeof key === 'string') {
    if (isApiKey(key)) return key
    throw errors.unauthorized('The x-api-key header holds no API key of this platform.')
  }
  const token = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  if (!token) throw errors.unauthorized('Send an access token as Authorization: Bearer, or an API key as x-api-key.')
  return token
}

/**
 * Compares the secret of the edge function in constant time.
 * @throws {ServiceError} not_configured, unauthorized.
 */
export function checkBackendSecret (headers: IncomingHttpHeaders, expected: string | undefined): void {
  if (!expected) throw errors.notConfigured('RAILWAY_BACKEND_SECRET')
  const given = headers['x-railway-secret']
  if (typeof given === 'string' && timingSafeEqual(sha256(given), sha256(expected))) return
  throw errors.unauthorized('The x-railway-secret header is missing or wrong.')
}
