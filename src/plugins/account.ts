import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { ApiKeys } from '../auth/api-keys.js'
import type { Credits } from '../contract/schemas.js'

declare module 'fastify' {
  interface FastifyInstance {
    credits: {
      /** A user's balance: credits that can be spent, that runs under way reserve, that were spent this month. */
      of (userId: string): Promise<Credits>
    }
    apiKeys: ApiKeys
  }
}

/** What users have: a balance and API keys. */
async function account (app: FastifyInstance): Promise<void> {
  app.decorate('credits', {
    of: userId => app.database.call('get_credits', { p_user_id: userId })
  })
  app.decorate('apiKeys', new ApiKeys(app.database))
}

export default fp(account, { name: 'account', dependencies: ['database'] })
