import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '#shared/errors.ts'
import type { Caller } from '#shared/http/caller.ts'
import { ApiKeys } from '../auth/api-keys.js'
import { type Opening, Tickets } from '../auth/tickets.js'
import { DemoUsers } from '../auth/demo-users.js'
import type { BalanceEntry } from '../contract/rows.js'
import type { Credits } from '../contract/schemas.js'
import { Rows } from '../auth/rows.js'

declare module 'fastify' {
  interface FastifyInstance {
    credits: {
      /** A user's balance: credits that can be spent, that runs under way reserve, that were spent this month. */
      of (userId: string): Promise<Credits>
      /** A page of a user's ledger, newest first. Throws `bad_request` for a cursor that is none. */
      ledger (userId: string, page: { limit: number, cursor?: string }): Promise<{ credits: Credits, entries: BalanceEntry[], nextCursor: string | null }>
    }
    apiKeys: ApiKeys
    rows: Rows
    /** Who may sign in without a password; undefined beside others' users and in production. */
    demoUsers: DemoUsers | undefined
    tickets: Tickets
    /** Finds who a ticket speaks for; one that is refused counts against its address. Throws `unauthorized`, `rate_limited`. */
    useTicket (ticket: string, opening: Opening, request: FastifyRequest): Promise<Caller>
  }
}

/** What users have: a balance, API keys and tickets. */
async function account (app: FastifyInstance): Promise<void> {
  app.decorate('credits', {
    of: userId => app.database.call('get_credits', { p_user_id: userId }),
    async ledger (userId, { limit, cursor }) {
      const { next, ...ledger } = await app.database.call('get_ledger', { p_user_id: userId, p_limit: limit, p_after: cursor ?? null })
      return { ...ledger, nextCursor: next }
    }
  })
  app.decorate('apiKeys', new ApiKeys(app.database))
  app.decorate('rows', new Rows(app.database))
  app.decorate('demoUsers', await DemoUsers.of(app.config, app.database))
  const tickets = new Tickets(app.database)
  app.decorate('tickets', tickets)
  app.decorate('useTicket', async (ticket, opening, request) => {
    const caller = await tickets.use(ticket, opening)
    if (caller) return caller
    await app.countFailedAttempt(request)
    throw errors.unauthorized('The ticket was used before, has expired, or is for something else.')
  })
}

export default fp(account, { name: 'account', dependencies: ['database', 'limits'] })
