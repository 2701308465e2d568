import fastifyCors from '@fastify/cors'
import fastifyHelmet from '@fastify/helmet'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

/** What browsers are told: which origins may call, and the headers that harden an answer. */
async function security (app: FastifyInstance): Promise<void> {
  const { corsOrigins } = app.config
  let hardening: ReturnType<typeof askHelmet> | undefined
  await app.register(fastifyHelmet, { global: false })
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(hardening ??= askHelmet(reply))
    done()
  })
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

/** The headers that Helmet gives an answer, which are the same for all; in a response's own table each stream would hold them for as long as it lasts. */
function askHelmet ({ helmet, raw }: FastifyReply) {
  helmet()
  const headers = raw.getHeaders()
  for (const name of raw.getHeaderNames()) raw.removeHeader(name)
  return headers
}

export default fp(security, { name: 'security' })
