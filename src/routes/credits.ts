import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { AdminStats, Credits, errorAnswers } from '../schemas.js'

/** What a user has, and, for admins, what the platform has. */
const credits: FastifyPluginAsyncTypebox = async app => {
  app.addHook('onRequest', app.requireUser)

  app.get('/api/credits', {
    schema: { response: { 200: Credits, ...errorAnswers } }
  }, async request => app.credits.of(request.caller!.userId))

  app.get('/api/admin/stats', {
    schema: { response: { 200: AdminStats, ...errorAnswers } }
  }, async request => app.credits.stats(request.caller!.userId))
}

export default credits
