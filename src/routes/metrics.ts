import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { errorAnswers } from '#shared/schemas.ts'

/** The text format of Prometheus. */
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** What the service counts, for Prometheus. */
const metrics: FastifyPluginAsyncTypebox = async app => {
  app.get('/metrics', {
    config: { quiet: true, rateLimit: false },
    onRequest: app.requireScraper,
    schema: { response: { 200: { content: { 'text/plain': { schema: Type.String() } } }, ...errorAnswers } }
  }, async (_request, reply) => {
    const text = await app.metrics.text()
    return reply.header('cache-control', 'no-store').type(CONTENT_TYPE).send(text)
  })
}

export default metrics
