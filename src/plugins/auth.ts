import { createHash, KeyObject, randomBytes, timingSafeEqual } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors, ServiceError } from '#shared/errors.ts'
import { UUID } from '#shared/uuid.ts'
import { readJwtSecret } from '../auth/access-token.js'
import type { Caller } from '../contract/caller.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Who a token is, be it an access token or an API key. Throws `unauthorized`. */
    authenticate (token: string): Promise<Caller>
    /** Hook: the caller is a user, and stands in `request.caller`. */
    requireUser (request: FastifyRequest): Promise<void>
    /** Hook: the caller is the edge function. */
    requireBackendSecret (request: FastifyRequest): Promise<void>
  }
  interface FastifyRequest {
    caller: Caller | null
  }
}

const API_KEY = /^jeesi_[\x21-\x7e]{1,250}$/
const MAX_TOKEN_LENGTH = 8192
/** How often an unknown `kid` may make us ask for the keys again; how long keys are taken for current. */
const JWKS_COOLDOWN = 60_000
const JWKS_MAX_AGE = 600_000
const JWKS_FAILURE_PAUSE = 1_000
/** For how long a token that was verified is known again, and how many are: a signature costs as much as a run's own work. */
const KNOWN_MS = 30_000
const MAX_KNOWN = 5_000

interface Claims { sub?: unknown, role?: unknown, iss?: unknown, exp: number }
interface Header { alg: string, kid?: string }
interface VerifyOptions { key?: string, algorithms: Array<'HS256' | 'ES256' | 'RS256'> }

async function auth (app: FastifyInstance): Promise<void> {
  const verifyToken = remember(await createTokenVerifier(app))

  app.decorateRequest('caller', null)
  app.decorate('authenticate', authenticate)
  app.decorate('requireUser', requireUser)
  app.decorate('requireBackendSecret', requireBackendSecret)

  async function authenticate (token: string): Promise<Caller> {
    return API_KEY.test(token) ? authenticateKey(token) : verifyToken(token)
  }

  async function authenticateKey (key: string): Promise<Caller> {
    const { userId } = await app.database.call<{ userId: string | null }>('authenticate_api_key', { p_key_hash: sha256(key).toString('hex') })
    if (!userId) throw errors.unauthorized('The API key is unknown or no longer active.')
    return { kind: 'api_key', userId, expiresAt: Infinity }
  }

  async function requireUser (request: FastifyRequest): Promise<void> {
    try {
      request.caller = await authenticate(credentialsOf(request))
    } catch (error) {
      if (error instanceof ServiceError && error.statusCode === 401) await app.countFailedAttempt(request)
      throw error
    }
  }

  async function requireBackendSecret (request: FastifyRequest): Promise<void> {
    const expected = app.config.backendSecret
    if (!expected) throw errors.notConfigured('RAILWAY_BACKEND_SECRET')
    const given = request.headers['x-railway-secret']
    if (typeof given === 'string' && timingSafeEqual(sha256(given), sha256(expected))) return
    await app.countFailedAttempt(request)
    throw errors.unauthorized('The x-railway-secret header is missing or wrong.')
  }
}

/** An API key beside a session's token, as the widget sends both, is the more particular of the two. */
function credentialsOf ({ headers }: FastifyRequest): string {
  const key = headers['x-api-key']
  if (typeof key === 'string') {
    if (API_KEY.test(key)) return key
    throw errors.unauthorized('The x-api-key header holds no API key of this platform.')
  }
  const token = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  if (!token) throw errors.unauthorized('Send an access token as Authorization: Bearer, or an API key as x-api-key.')
  return token
}

/** Supabase's access tokens: HS256 by the shared secret, ES256 and RS256 by the project's published keys. */
async function createTokenVerifier (app: FastifyInstance): Promise<(token: string) => Promise<Caller>> {
  const { supabaseUrl } = app.config
  const secret = await readJwtSecret(app.config)
  const publicKey = supabaseUrl ? await createKeyFinder(`${supabaseUrl}/auth/v1/.well-known/jwks.json`) : undefined
  await app.register(fastifyJwt, {
    // Without a secret HS256 is refused below; the plugin wants one nevertheless.
    secret: secret ?? randomBytes(32).toString('hex'),
    decode: { complete: true },
    verify: { allowedAud: 'authenticated', requiredClaims: ['exp', 'aud', 'sub', 'role'] }
  })

  /** The algorithm decides on the key, so that no public key is ever taken for a shared secret. */
  async function optionsFor ({ alg, kid }: Header): Promise<VerifyOptions | undefined> {
    if (alg === 'HS256' && secret) return { algorithms: ['HS256'] }
    if ((alg === 'ES256' || alg === 'RS256') && publicKey) return { algorithms: [alg], key: await publicKey(alg, kid) }
  }

  return async function verifyToken (token) {
    const invalid = () => errors.unauthorized('The access token is not valid.')
    if (token.length > MAX_TOKEN_LENGTH) throw invalid()
    let claims: Claims
    try {
      const { header } = app.jwt.decode<{ header: Header }>(token, { complete: true })!
      const options = await optionsFor(header)
      if (!options) throw invalid()
      claims = app.jwt.verify<Claims>(token, { ...app.jwt.options.verify, ...options })
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === 'database_unavailable' || code === 'keys_unavailable') throw error
      throw code === 'FAST_JWT_EXPIRED' ? errors.unauthorized('The access token has expired.') : invalid()
    }
    const { sub, role, iss, exp } = claims
    const isOurs = !supabaseUrl || iss === undefined || iss === `${supabaseUrl}/auth/v1`
    if (typeof sub !== 'string' || !UUID.test(sub) || role !== 'authenticated' || !isOurs) throw invalid()
    return { kind: 'user', userId: sub.toLowerCase(), expiresAt: exp * 1000 }
  }
}

/** Knows those again who were verified a short while ago, the latest of them, until their tokens end. */
function remember (verify: (token: string) => Promise<Caller>): (token: string) => Promise<Caller> {
  const known = new Map<string, { caller: Caller, until: number }>()
  return async token => {
    const found = known.get(token)
    if (found && found.until > Date.now()) return found.caller
    known.delete(token)
    const caller = await verify(token)
    if (known.size >= MAX_KNOWN) known.delete(known.keys().next().value!)
    known.set(token, { caller, until: Math.min(caller.expiresAt, Date.now() + KNOWN_MS) })
    return caller
  }
}

/** Finds a project's public key as PEM. jose fetches, caches and bounds how often it asks. */
async function createKeyFinder (url: string): Promise<(alg: string, kid?: string) => Promise<string>> {
  const { createRemoteJWKSet } = await import('jose')
  const findKey = createRemoteJWKSet(new URL(url), { cooldownDuration: JWKS_COOLDOWN, cacheMaxAge: JWKS_MAX_AGE })
  const exported = new Map<string, string>()
  let failedAt = -Infinity

  return async function publicKey (alg, kid) {
    const name = `${alg} ${kid}`
    if (Date.now() - failedAt < JWKS_FAILURE_PAUSE) return known(name)
    try {
      const key = await findKey({ alg, kid })
      const pem = KeyObject.from(key as never).export({ type: 'spki', format: 'pem' }).toString()
      exported.set(name, pem)
      return pem
    } catch (error) {
      if (NO_SUCH_KEY.has((error as { code?: string }).code ?? '')) throw error
      failedAt = Date.now()
      return known(name)
    }
  }

  /** While the keys cannot be fetched, those that were seen before hold. */
  function known (name: string): string {
    const pem = exported.get(name)
    if (pem === undefined) throw errors.keysUnavailable()
    return pem
  }
}

const NO_SUCH_KEY = new Set(['ERR_JWKS_NO_MATCHING_KEY', 'ERR_JWKS_MULTIPLE_MATCHING_KEYS', 'ERR_JOSE_NOT_SUPPORTED'])

function sha256 (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

export default fp(auth, { name: 'auth', dependencies: ['database', 'limits'] })
