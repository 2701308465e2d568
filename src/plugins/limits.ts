import fastifyRateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors, type ServiceError } from '#shared/errors.ts'
import { clientAddress } from '../http/client-address.js'
import { PREFIX } from '../redis/keys.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts a message of a WebSocket as a request of its caller. Throws `rate_limited`. */
    countMessage (request: FastifyRequest): Promise<void>
    /** Counts a refused token or key against the address it came from. Throws `rate_limited`. */
    countFailedAttempt (request: FastifyRequest): Promise<void>
  }
}

/** How many callers are counted at a time; beyond, the least recently seen are forgotten. */
const MAX_CALLERS = 50_000

async function limits (app: FastifyInstance): Promise<void> {
  const { rateLimitMax: max, rateLimitWindow: timeWindow } = app.config

  // Hooks of routes run after those of their scope: the caller, where there is one, is known by then.
  await app.register(fastifyRateLimit, {
    max,
    timeWindow,
    cache: MAX_CALLERS,
    keyGenerator: callerKey,
    // With Redis the counts are shared by all replicas; while it is away nobody is limited.
    redis: app.redis?.link.commands,
    nameSpace: `${PREFIX}:rate:`,
    skipOnError: true,
    errorResponseBuilder: (_request, { ttl }) => rateLimited(ttl)
  })

  app.decorate('countMessage', createCounter(app.createRateLimit()))
  app.decorate('countFailedAttempt', createCounter(app.createRateLimit({ keyGenerator: addressKey })))
}

function createCounter (count: ReturnType<FastifyInstance['createRateLimit']>) {
  return async (request: FastifyRequest): Promise<void> => {
    const state = await count(request)
    if (!state.isAllowed && state.isExceeded) throw rateLimited(state.ttl)
  }
}

/** @param ttl milliseconds until the window ends. */
function rateLimited (ttl: number): ServiceError {
  const retryAfter = Math.max(1, Math.ceil(ttl / 1000))
  return errors.rateLimited(retryAfter).with({ retryAfter })
}

function callerKey (request: FastifyRequest): string {
  return request.caller ? `user:${request.caller.userId}` : addressKey(request)
}

function addressKey (request: FastifyRequest): string {
  return `address:${clientAddress(request)}`
}

export default fp(limits, { name: 'limits', dependencies: ['redis', 'request-context'] })
