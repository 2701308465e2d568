import { randomBytes } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors, ServiceError } from '#shared/errors.ts'
import type { Caller } from '#shared/http/caller.ts'
import { type Credentials, credentialsOf, readCredentials } from '#shared/http/credentials.ts'
import { readJwtSecret } from '../auth/access-token.js'
import { authenticateApiKey } from '../auth/api-keys.js'
import { checkBackendSecret } from '../auth/credentials.js'
import { createPublicKeyFinder } from '../auth/jwks.js'
import { createTokenVerifier, type TokenVerifier } from '../auth/tokens.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Finds who a token is, be it an access token, an API key or a visitor's. Throws `unauthorized`, `forbidden`. */
    authenticate (token: string, origin: string | undefined): Promise<Caller>
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
  const authenticate = (credentials: Credentials, origin: string | undefined) =>
    credentials.kind === 'access_token' ? verifyToken(credentials.text) : authenticateApiKey(app.database, credentials, origin)
  app.decorate('authenticate', (token, origin) => authenticate(credentialsOf(token), origin))

  app.decorate('requireUser', (request: FastifyRequest) => admit(request, () => true))
  app.decorate('requireReader', (request: FastifyRequest) => admit(request, ({ mayRead }) => mayRead))
  app.decorate('requireSession', (request: FastifyRequest) => admit(request, ({ kind }) => kind === 'user'))
  app.decorate('requireBackendSecret', (request: FastifyRequest) => counted(request, async () => {
    checkBackendSecret(request.headers, app.config.backendSecret)
  }))

  function admit (request: FastifyRequest, isAdmitted: (caller: Caller) => boolean): Promise<void> {
    return counted(request, async () => {
      const { authorization, origin, 'x-api-key': key } = request.headers
      request.caller = await authenticate(readCredentials(key, authorization), origin)
      if (!isAdmitted(request.caller)) throw errors.sessionRequired()
    })
  }

  /** Counts a refusal against the address it came from. */
  async function counted (request: FastifyRequest, check: () => Promise<void>): Promise<void> {
    try {
      await check()
    } catch (error) {
      if (error instanceof ServiceError && [401, 403].includes(error.statusCode)) await app.countFailedAttempt(request)
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
    hasSecret: secret !== undefined,
    findKey: supabaseUrl ? await createPublicKeyFinder(`${supabaseUrl}/auth/v1/.well-known/jwks.json`) : undefined,
    issuer: supabaseUrl && `${supabaseUrl}/auth/v1`
  })
}

export default fp(auth, { name: 'auth', dependencies: ['database', 'limits', 'request-context'] })
