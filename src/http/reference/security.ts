/** How callers prove who they are. */
export const SECURITY_SCHEMES = {
  bearerAuth: { type: 'http', scheme: 'bearer', description: 'An access token of Supabase, an API key, or the token of a visitor.' },
  accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'An access token of Supabase. API keys, which stand in public pages, are refused.' },
  apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'An API key. It wins over a bearer token.' },
  backendSecret: { type: 'apiKey', in: 'header', name: 'x-railway-secret', description: 'The secret that the edge function shares with the service.' },
  metricsToken: { type: 'http', scheme: 'bearer', description: 'METRICS_TOKEN, from elsewhere than the machine and the private network.' },
  ticket: { type: 'apiKey', in: 'query', name: 'ticket', description: 'A ticket of POST /api/tickets, for clients that can send no header.' },
  token: { type: 'apiKey', in: 'query', name: 'token', description: 'An access token or an API key, for WebSockets.' }
} as const

type Scheme = keyof typeof SECURITY_SCHEMES
type Requirement = Partial<Record<Scheme, string[]>>

const KEY_OR_TOKEN: readonly Scheme[] = ['bearerAuth', 'apiKey']
/** What each caller of docs/reference/http.md proves itself with. */
const SCHEMES: Readonly<Record<string, readonly Scheme[]>> = {
  nobody: [],
  user: KEY_OR_TOKEN,
  reader: KEY_OR_TOKEN,
  visitor: KEY_OR_TOKEN,
  session: ['accessToken'],
  secret: ['backendSecret'],
  scraper: ['metricsToken']
}

/** Each caller in a sentence. */
export const CALLERS: Readonly<Record<string, string>> = {
  nobody: 'Takes no credentials.',
  user: 'Takes an access token, or an API key within what the key may.',
  reader: 'Takes an access token, or an API key with the scope `read`.',
  visitor: 'Takes a publishable API key, or the token of a visitor of it.',
  session: 'Takes an access token, and no API key.',
  secret: 'Takes the secret of the edge function.',
  scraper: 'Takes nothing from the machine and the private network, and the token of the metrics from elsewhere.'
}

/** The alternatives that a caller has. @param query the route's parameters in the query, some of which are credentials. */
export function securityOf (caller: string, query: object = {}): Requirement[] {
  // A WebSocket's handshake has no credentials in headers of their own, and may have none at all: a first message brings them.
  if ('token' in query) return [{ token: [] }, { ticket: [] }, {}]
  if (caller === 'scraper') return [{ metricsToken: [] }, {}]
  const schemes = 'ticket' in query ? [...SCHEMES[caller]!, 'ticket'] : SCHEMES[caller]!
  return schemes.map(scheme => ({ [scheme]: [] }))
}
