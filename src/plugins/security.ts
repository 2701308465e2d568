import fastifyCors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '#shared/errors.ts'

/** Security headers of answers, and the origins that may call from a browser (CORS). */
async function security (app: FastifyInstance): Promise<void> {
  const { config: { corsOrigins }, hardening } = app
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(hardening)
    const lacksHost = request.headers.host === undefined && request.raw.httpVersion === '1.1'
    done(lacksHost ? errors.badRequest('The request has no Host header.') : undefined)
  })
  await app.register(fastifyCors, {
    // Tokens travel in headers and never in cookies, so `*` lets no site use a visitor's session.
    origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
    methods: ['GET', 'POST', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'x-api-key', 'apikey', 'x-client-info', 'idempotency-key', 'last-event-id', 'x-stream-events'],
    exposedHeaders: ['x-run-id', 'retry-after'],
    maxAge: 86_400,
    strictPreflight: false
  })
  // The body of a request for nothing is neither read nor parsed.
  app.addHook('onRequest', (request, _reply, done) => done(request.is404 ? errors.notFound() : undefined))
}

export default fp(security, { name: 'security' })
