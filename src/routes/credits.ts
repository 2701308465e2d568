import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { errorAnswers } from '#shared/schemas.ts'
import { Credits } from '../contract/schemas.js'

/** A user's balance. */
const credits: FastifyPluginAsyncTypebox = async app => {
  app.get('/api/credits', {
    onRequest: app.requireReader,
    schema: { response: { 200: Credits, ...errorAnswers } }
  }, async request => app.credits.of(request.caller!.userId))
}

export default credits
