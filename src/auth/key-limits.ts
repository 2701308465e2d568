import { errors } from '#shared/errors.ts'
import type { KeyBody, KeyLimits } from '../contract/api-keys.js'

/** What a publishable key may in a day where its maker does not say: it stands where anybody may take it. */
const DEFAULT_REQUESTS = 1000
const DEFAULT_CREDITS = 100

/**
 * The limits of a new key, complete. A publishable key has agents, origins and a budget, and no scope.
 * @throws {ServiceError} bad_request
 */
export function limitsOf ({ publishable = false, scopes = [], agentIds = [], origins = [], requestsPerDay, creditsPerDay }: KeyBody): KeyLimits {
  const limits = { publishable, scopes, agentIds, origins: origins.map(originOf), requestsPerDay: requestsPerDay ?? null, creditsPerDay: creditsPerDay ?? null }
  if (!publishable) return limits
  if (agentIds.length === 0) throw refusal('agentIds', 'names the agents of a publishable key, at least one')
  if (origins.length === 0) throw refusal('origins', 'names the origins of the pages with a publishable key, at least one')
  if (scopes.length > 0) throw refusal('scopes', 'are not for publishable keys')
  return { ...limits, requestsPerDay: requestsPerDay ?? DEFAULT_REQUESTS, creditsPerDay: creditsPerDay ?? DEFAULT_CREDITS }
}

/** An origin as browsers send it: scheme, host in lower case, and the port unless it is the scheme's own. */
function originOf (text: string, index: number): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isOrigin = url && /^https?:$/.test(url.protocol) && url.host && url.href === `${url.origin}/`
  if (!isOrigin) throw refusal(`origins.${index}`, 'must be an origin, such as https://www.example.com')
  return url.origin
}

function refusal (path: string, message: string) {
  return errors.badRequest(`${path} ${message}.`).with({ details: [{ path, message }] })
}
