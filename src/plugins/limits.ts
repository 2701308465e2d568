import { BlockList, isIPv4, isIPv6 } from 'node:net'
import fastifyRateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors, type ServiceError } from '#shared/errors.ts'
import { PREFIX } from '../redis/keys.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts a message of a WebSocket as a request of its caller. Throws `rate_limited`. */
    countMessage (request: FastifyRequest): Promise<void>
    /** Counts a refused token or key against the address it came from. Throws `rate_limited`. */
    countFailedAttempt (request: FastifyRequest): Promise<void>
  }
}

/** Railway's proxies; from nowhere else is an `X-Real-IP` believed. */
const RAILWAY_PROXIES = new BlockList()
RAILWAY_PROXIES.addSubnet('100.64.0.0', 10, 'ipv4')

/** How many callers are counted at a time; beyond, those who were quiet longest are forgotten. */
const MAX_CALLERS = 50_000

async function limits (app: FastifyInstance): Promise<void> {
  const { rateLimitMax: max, rateLimitWindow: timeWindow } = app.config

  // Routes' own hooks run after those of their scope: the caller, where there is one, is known by then.
  await app.register(fastifyRateLimit, {
    max,
    timeWindow,
    cache: MAX_CALLERS,
    keyGenerator: callerKey,
    // Where Redis counts for all replicas and is away, nobody is counted; without one nothing can fail.
    redis: app.redis?.link.commands,
    nameSpace: `${PREFIX}:rate:`,
    skipOnError: true,
    errorResponseBuilder: (_request, { ttl }) => tooMany(ttl)
  })

  app.decorate('countMessage', createCounter(app.createRateLimit()))
  app.decorate('countFailedAttempt', createCounter(app.createRateLimit({ keyGenerator: addressKey })))
}

function createCounter (count: ReturnType<FastifyInstance['createRateLimit']>) {
  return async (request: FastifyRequest): Promise<void> => {
    const state = await count(request)
    if (!state.isAllowed && state.isExceeded) throw tooMany(state.ttl)
  }
}

/** @param ttl milliseconds until the window ends. */
function tooMany (ttl: number): ServiceError {
  const retryAfter = Math.max(1, Math.ceil(ttl / 1000))
  return errors.rateLimited(retryAfter).with({ retryAfter })
}

function callerKey (request: FastifyRequest): string {
  return request.caller ? `user:${request.caller.userId}` : addressKey(request)
}

function addressKey (request: FastifyRequest): string {
  return `address:${clientAddress(request)}`
}

/** Where a request came from: behind Railway's proxy the address that it saw, else the peer's. */
export function clientAddress (request: FastifyRequest): string {
  const peer = (request.socket?.remoteAddress ?? '').replace(/^::ffff:/, '')
  const told = request.headers['x-real-ip']
  const believed = isIPv4(peer) && RAILWAY_PROXIES.check(peer) && typeof told === 'string' && (isIPv4(told) || isIPv6(told))
  return believed ? told : peer
}

export default fp(limits, { name: 'limits', dependencies: ['redis'] })
