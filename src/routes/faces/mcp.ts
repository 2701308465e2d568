import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { errors } from '#shared/errors.ts'
import { IdempotencyHeaders } from '#shared/schemas.ts'
import { version } from '../../config/version.js'
import { RpcError } from '../../contract/mcp/schemas.js'
import { McpStream } from '../../contract/streams.js'
import { serveMcp } from '../../http/mcp/serve.js'

/** What the protocol answers is of many shapes, which its package knows. */
const answer = { content: { 'application/json': { schema: Type.Object({}) }, 'text/event-stream': { schema: McpStream } } }

/** Agents as tools of the Model Context Protocol, of 2026-07-28 and of 2025 without sessions. */
const mcp: FastifyPluginAsyncTypebox = async app => {
  const { corsOrigins } = app.config

  // A page that has resolved its own name to this address sends its own origin with every message.
  app.addHook('onRequest', async ({ headers: { origin } }) => {
    if (origin !== undefined && !corsOrigins.includes(origin) && !corsOrigins.includes('*')) throw errors.pageNotAllowed()
  })

  app.post('/mcp', {
    config: { execution: true },
    onRequest: [app.requireUser, app.countConnection],
    schema: { headers: IdempotencyHeaders, response: { 200: answer, '4xx': RpcError, '5xx': RpcError } }
  }, (request, reply) => serveMcp(request, reply, version))
}

export default mcp
