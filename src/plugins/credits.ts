import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Credits } from '../contract/schemas.js'

declare module 'fastify' {
  interface FastifyInstance {
    credits: {
      /** A user's balance: credits that can be spent, that runs under way reserve, that were spent this month. */
      of (userId: string): Promise<Credits>
    }
  }
}

async function credits (app: FastifyInstance): Promise<void> {
  app.decorate('credits', {
    of: userId => app.database.call('get_credits', { p_user_id: userId })
  })
}

export default fp(credits, { name: 'credits', dependencies: ['database'] })
