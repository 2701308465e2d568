import { timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { errors } from '#shared/errors.ts'
import { sha256 } from './api-keys.js'

/**
 * Compares the secret of the edge function in constant time.
 * @throws {ServiceError} not_configured, unauthorized.
 */
export function checkBackendSecret (headers: IncomingHttpHeaders, expected: string | undefined): void {
  if (!expected) throw errors.notConfigured().with({ reason: 'RAILWAY_BACKEND_SECRET is not set' })
  const given = headers['x-railway-secret']
  if (typeof given === 'string' && timingSafeEqual(sha256(given), sha256(expected))) return
  throw errors.unauthorized('The x-railway-secret header is missing or wrong.')
}
