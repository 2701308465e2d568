import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AdminStats, Credits } from '../schemas.js'

declare module 'fastify' {
  interface FastifyInstance {
    credits: {
      /** A user's balance: what can be spent, what runs under way hold, what was spent this month. */
      of (userId: string): Promise<Credits>
      /** The platform's figures. Throws `forbidden` unless the user is an admin. */
      stats (userId: string): Promise<AdminStats>
    }
  }
}

async function credits (app: FastifyInstance): Promise<void> {
  app.decorate('credits', {
    of: userId => app.database.call<Credits>('get_credits', { p_user_id: userId }),
    stats: userId => app.database.call<AdminStats>('admin_stats', { p_user_id: userId })
  })
}

export default fp(credits, { name: 'credits', dependencies: ['database'] })
