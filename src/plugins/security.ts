import fastifyCors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors, methodNotAllowed } from '#shared/errors.ts'
import { RouteMethods } from '../http/route-methods.js'

/** What clients of MCP say of each message. */
const MCP = ['mcp-protocol-version', 'mcp-method', 'mcp-name', 'mcp-session-id']
/** What the packages of OpenAI say of themselves with each request. */
const STAINLESS = ['arch', 'async', 'custom-poll-interval', 'helper-method', 'lang', 'os', 'package-version', 'poll-helper', 'retry-count', 'runtime', 'runtime-version', 'timeout']
  .map(name => `x-stainless-${name}`)

/** Origins of pages that this machine serves itself. */
const LOOPBACK = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/

/** Security headers of answers, and the origins that may call from a browser (CORS). */
async function security (app: FastifyInstance): Promise<void> {
  const { config: { corsOrigins, database, production }, hardening } = app
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(hardening)
    const lacksHost = request.headers.host === undefined && request.raw.httpVersion === '1.1'
    done(lacksHost ? errors.badRequest('The request has no Host header.') : undefined)
  })
  await app.register(fastifyCors, {
    // Tokens travel in headers and never in cookies, so `*` lets no site use a visitor's session.
    // On the embedded database a developer's own page, from whatever port it is served, may call at once.
    origin: corsOrigins.includes('*') ? '*' : [...corsOrigins, ...database.kind === 'embedded' && !production ? [LOOPBACK] : []],
    methods: ['GET', 'POST', 'PATCH', 'DELETE'],
    allowedHeaders: ['authorization', 'content-type', 'x-api-key', 'apikey', 'user-agent', 'x-client-info', 'idempotency-key', 'last-event-id', 'x-stream-events', 'traceparent', 'tracestate', ...MCP, ...STAINLESS],
    exposedHeaders: ['x-run-id', 'x-workflow-run-id', 'x-workflow-stream-tail-index', 'retry-after', 'x-request-id', 'x-should-retry', 'www-authenticate', 'mcp-session-id'],
    maxAge: 86_400,
    strictPreflight: false
  })
  const routes = new RouteMethods()
  app.addHook('onRoute', ({ url, method }) => routes.add(url, [method].flat()))
  // The body of a request for nothing is neither read nor parsed.
  app.addHook('onRequest', (request, _reply, done) => {
    if (!request.is404) return done()
    const allow = routes.at(request.raw.url ?? '')
    done(allow.length > 0 ? methodNotAllowed(allow) : errors.notFound())
  })
}

export default fp(security, { name: 'security' })
