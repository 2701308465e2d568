import fastifyCors from '@fastify/cors'
import fastifyHelmet from '@fastify/helmet'
import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

/** Security headers of answers, and the origins that may call from a browser (CORS). */
async function security (app: FastifyInstance): Promise<void> {
  const { corsOrigins } = app.config
  let hardening: ReturnType<typeof helmetHeaders> | undefined
  await app.register(fastifyHelmet, { global: false })
  app.addHook('onRequest', (_request, reply, done) => {
    reply.headers(hardening ??= helmetHeaders(reply))
    done()
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
}

/** Helmet's headers, which are the same for all answers. They are taken off the raw response: a stream would keep its own copy for as long as it lasts. */
function helmetHeaders ({ helmet, raw }: FastifyReply) {
  helmet()
  const headers = raw.getHeaders()
  for (const name of raw.getHeaderNames()) raw.removeHeader(name)
  return headers
}

export default fp(security, { name: 'security' })
