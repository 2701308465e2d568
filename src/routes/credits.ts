import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Credits, errorAnswers } from '#shared/schemas.ts'

/** What a user has. */
const credits: FastifyPluginAsyncTypebox = async app => {
  app.get('/api/credits', {
    onRequest: app.requireUser,
    schema: { response: { 200: Credits, ...errorAnswers } }
  }, async request => app.credits.of(request.caller!.userId))
}

export default credits
