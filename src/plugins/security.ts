import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { require } from '../commonjs.js'

const { fastifyCors } = require('@fastify/cors') as typeof import('@fastify/cors')
const { fastifyHelmet } = require('@fastify/helmet') as typeof import('@fastify/helmet')

/** What browsers are told: which origins may call, and the headers that harden an answer. */
async function security (app: FastifyInstance): Promise<void> {
  const { corsOrigins } = app.config
  await app.register(fastifyHelmet)
  await app.register(fastifyCors, {
    // Tokens travel in headers and never in cookies, so `*` gives no site more than its visitor has.
    origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
    methods: ['GET', 'POST'],
    allowedHeaders: ['authorization', 'content-type', 'x-api-key', 'apikey', 'x-client-info', 'idempotency-key', 'last-event-id'],
    exposedHeaders: ['x-run-id', 'retry-after'],
    maxAge: 86_400,
    strictPreflight: false
  })
}

export default fp(security, { name: 'security' })
