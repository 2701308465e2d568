import { errors } from '../errors.ts'
import { UUID } from '../uuid.ts'

/** Who tokens of visitors are for. No access token of Supabase has this audience. */
const AUDIENCE = 'jeesi:visitor'
const LIFETIME_SECONDS = 3600
/** How the claims begin that `signVisitorToken` signs: with `{"key"`, in base64url. */
const BEGINNING = 'eyJrZXki'

/** A visitor of a publishable key, in the form in which a page gets it. */
export interface VisitorToken {
  token: string
  visitorId: string
  /** ISO 8601. */
  expiresAt: string
}

/**
 * Signs a token, by HS256, that names a visitor and the publishable key whose visitor it is.
 * @param secret of the key.
 */
export async function signVisitorToken (secret: string, apiKeyId: string, visitorId: string): Promise<VisitorToken> {
  const { SignJWT } = await import('jose')
  const expiresAt = Math.floor(Date.now() / 1000) + LIFETIME_SECONDS
  const token = await new SignJWT({ key: apiKeyId })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(visitorId)
    .setAudience(AUDIENCE)
    .setIssuedAt()
    .setExpirationTime(expiresAt)
    .sign(new TextEncoder().encode(secret))
  return { token, visitorId, expiresAt: new Date(expiresAt * 1000).toISOString() }
}

/**
 * The visitor that a token names.
 * @param secret of the key that must have signed it.
 * @throws {ServiceError} unauthorized
 */
export async function verifyVisitorToken (token: string, secret: string, apiKeyId: string): Promise<{ visitor: string, expiresAt: number }> {
  const { jwtVerify } = await import('jose')
  const { payload } = await jwtVerify(token, new TextEncoder().encode(secret), {
    algorithms: ['HS256'], audience: AUDIENCE, requiredClaims: ['exp', 'sub']
  }).catch(({ code }) => {
    throw errors.unauthorized(code === 'ERR_JWT_EXPIRED' ? 'The visitor\'s token has expired.' : 'The visitor\'s token is not valid.')
  })
  if (payload.key !== apiKeyId) throw errors.unauthorized('The visitor\'s token is another key\'s.')
  return { visitor: payload.sub!, expiresAt: payload.exp! * 1000 }
}

/** The key that a visitor's token names, before anything is verified; undefined for any other text. */
export function keyOfVisitorToken (token: string): string | undefined {
  // Each request of a user comes by here: other claims are not read.
  if (!token.startsWith(BEGINNING, token.indexOf('.') + 1)) return undefined
  const { aud, key } = readClaims(token) ?? {}
  return aud === AUDIENCE && typeof key === 'string' && UUID.test(key) ? key : undefined
}

/** The claims of a token that has not been verified; undefined if they cannot be read. */
export function readClaims (token: string): Record<string, unknown> | undefined {
  try {
    const [, payload = ''] = token.split('.')
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), character => character.charCodeAt(0))
    const claims = JSON.parse(new TextDecoder().decode(bytes))
    return typeof claims === 'object' && claims !== null ? claims : undefined
  } catch {
    return undefined
  }
}
