import { timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { errors } from '#shared/errors.ts'
import { sha256 } from './api-keys.js'

/**
 * Compares the token of those who read metrics in constant time.
 * @throws {ServiceError} unauthorized; not_found, where there is no such token.
 */
export function checkMetricsToken ({ authorization }: IncomingHttpHeaders, expected: string | undefined): void {
  if (!expected) throw errors.notFound()
  const given = /^Bearer +(.+)$/i.exec(authorization ?? '')?.[1] ?? ''
  if (!timingSafeEqual(sha256(given), sha256(expected))) throw errors.unauthorized('The bearer token of the metrics is missing or wrong.')
}

/**
 * Compares the secret of the edge function in constant time.
 * @param previous the secret that was changed, which may still be there.
 * @throws {ServiceError} not_configured, unauthorized.
 */
export function checkBackendSecret (headers: IncomingHttpHeaders, expected: string | undefined, previous?: string): void {
  if (!expected) throw errors.notConfigured().with({ reason: 'RAILWAY_BACKEND_SECRET is not set' })
  const given = headers['x-railway-secret']
  if (typeof given === 'string' && [expected, previous ?? expected].some(secret => timingSafeEqual(sha256(given), sha256(secret)))) return
  throw errors.unauthorized('The x-railway-secret header is missing or wrong.')
}
