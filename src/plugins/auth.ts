import { randomBytes } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors, ServiceError } from '#shared/errors.ts'
import type { Caller } from '#shared/http/caller.ts'
import { type Credentials, credentialsOf, readCredentials } from '#shared/http/credentials.ts'
import { readJwtSecret } from '../auth/access-token.js'
import { checkBackendSecret } from '../auth/credentials.js'
import { createPublicKeyFinder } from '../auth/jwks.js'
import { isRefusal, KeyAuthenticator } from '../auth/key-authenticator.js'
import { createTokenVerifier, type TokenVerifier } from '../auth/tokens.js'
import { addressKey } from '../http/client-address.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Finds who a token is, be it an access token, an API key or a visitor's. Throws `unauthorized`, `forbidden`, `rate_limited`. */
    authenticate (token: string, request: FastifyRequest): Promise<Caller>
    /** Hook: the caller is a user, or an API key of one, and stands in `request.caller`. */
    requireUser (request: FastifyRequest): Promise<void>
    /** Hook: the caller may read all that is the user's: it has a session, or a key with the scope `read`. */
    requireReader (request: FastifyRequest): Promise<void>
    /** Hook: the caller is a user with a session. An API key may stand in a page for all to read. */
    requireSession (request: FastifyRequest): Promise<void>
    /** Hook: the caller is the edge function. */
    requireBackendSecret (request: FastifyRequest): Promise<void>
  }
}

async function auth (app: FastifyInstance): Promise<void> {
  const verifyToken = await registerJwt(app)
  const keys = new KeyAuthenticator(app.database)
  app.decorate('authenticate', (token, request) => authenticate(credentialsOf(token), request))
  app.decorate('requireUser', (request: FastifyRequest) => admit(request, () => true))
  app.decorate('requireReader', (request: FastifyRequest) => admit(request, ({ mayRead }) => mayRead))
  app.decorate('requireSession', (request: FastifyRequest) => admit(request, ({ kind }) => kind === 'user'))
  app.decorate('requireBackendSecret', (request: FastifyRequest) => counted(request, () => checkBackendSecret(request.headers, app.config.backendSecret, app.config.previousBackendSecret)))

  async function admit (request: FastifyRequest, isAdmitted: (caller: Caller) => boolean): Promise<void> {
    const credentials = await counted(request, () => readCredentials(request.headers['x-api-key'], request.headers.authorization))
    request.caller = await authenticate(credentials, request)
    if (!isAdmitted(request.caller)) await counted(request, () => { throw errors.sessionRequired() })
  }

  /** Keys are counted before the database is asked; tokens, which cost nobody else anything, once they are refused. */
  function authenticate (credentials: Credentials, request: FastifyRequest): Promise<Caller> {
    if (credentials.kind === 'access_token') return counted(request, () => verifyToken(credentials.text))
    return keys.authenticate(credentials, { origin: request.headers.origin, address: addressKey(request), count: () => app.countFailedAttempt(request) })
  }

  /** Counts a refusal against the address it came from. What is admitted is counted by its caller. */
  async function counted<T> (request: FastifyRequest, check: () => T | Promise<T>): Promise<T> {
    try {
      return await check()
    } catch (error) {
      if (error instanceof ServiceError && isRefusal(error)) await app.countFailedAttempt(request)
      throw error
    }
  }
}

async function registerJwt (app: FastifyInstance): Promise<TokenVerifier> {
  const { supabaseUrl } = app.config
  const secret = await readJwtSecret(app.config)
  await app.register(fastifyJwt, {
    // The plugin wants a secret; where there is none the verifier refuses HS256.
    secret: secret ?? randomBytes(32).toString('hex'),
    decode: { complete: true },
    verify: { allowedAud: 'authenticated', requiredClaims: ['exp', 'aud', 'sub', 'role'] }
  })
  return createTokenVerifier({
    decode: token => app.jwt.decode(token, { complete: true })!,
    verify: (token, options) => app.jwt.verify(token, { ...app.jwt.options.verify, ...options }),
    secrets: [secret, app.config.previousJwtSecret].filter(secret => secret !== undefined),
    findKey: supabaseUrl ? await createPublicKeyFinder(`${supabaseUrl}/auth/v1/.well-known/jwks.json`) : undefined,
    issuer: supabaseUrl && `${supabaseUrl}/auth/v1`
  })
}

export default fp(auth, { name: 'auth', dependencies: ['database', 'limits', 'request-context'] })
