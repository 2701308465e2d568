import fastifyRateLimit from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '#shared/errors.ts'
import { createBodyParser } from '../http/body.js'
import { addressKey, callerKey } from '../http/client-address.js'
import { IncomingBytes } from '../http/incoming-bytes.js'
import { createCostCounter, createCounter, refused } from '../http/rate-limits.js'
import { WindowCounter } from '../lib/window-counter.js'
import { PREFIX } from '../redis/keys.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts a message of a WebSocket as a request of its caller. Throws `rate_limited`. */
    countMessage (request: FastifyRequest): Promise<void>
    /** Counts what a body or message costs to be parsed, in bytes, against its caller. Throws `rate_limited`. */
    countCost (request: FastifyRequest, cost: number): Promise<void>
    /** Counts a token or key that is not known to be good against the address it came from. Throws `rate_limited`. */
    countFailedAttempt (request: FastifyRequest): Promise<void>
    /** The memory of WebSocket messages that have not arrived as a whole. */
    incomingBytes: IncomingBytes
  }
}

/** How many callers are counted at a time; beyond, the least recently seen are forgotten. */
const MAX_CALLERS = 50_000
/** How many messages of the largest size may be arriving at once: at this process, and of one caller. */
const MESSAGES_AT_ONCE = 8
const MESSAGES_OF_CALLER_AT_ONCE = 4

async function limits (app: FastifyInstance): Promise<void> {
  const { bodyLimit, rateLimitMax: max, rateLimitWindow: timeWindow, rateLimitBytes: maxBytes } = app.config
  const here = new WindowCounter(maxBytes, timeWindow)

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
    errorResponseBuilder: (_request, { ttl }) => refused(errors.rateLimited, ttl)
  })

  app.decorate('countMessage', createCounter(app.createRateLimit()))
  // Its types leave out how many are counted, and by default it is a tenth.
  const byAddress = { keyGenerator: addressKey, cache: MAX_CALLERS }
  app.decorate('countFailedAttempt', createCounter(app.createRateLimit(byAddress)))
  app.decorate('countCost', createCostCounter((key, cost) => here.take(key, cost), app.redis?.countAmounts(maxBytes, timeWindow)))
  app.decorate('incomingBytes', new IncomingBytes(MESSAGES_AT_ONCE * bodyLimit, MESSAGES_OF_CALLER_AT_ONCE * bodyLimit))

  app.removeAllContentTypeParsers()
  // It says itself what it does not take: Fastify would let only named types through, and one that is empty is none.
  app.addContentTypeParser('*', createBodyParser(app, { limit: bodyLimit, countCost: app.countCost }))
  app.addHook('preParsing', (request, _reply, payload, done) => {
    if (request.headers['content-type']?.trim() === '') delete request.headers['content-type']
    done(null, payload)
  })
}

export default fp(limits, { name: 'limits', dependencies: ['redis'] })
