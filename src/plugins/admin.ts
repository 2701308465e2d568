import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { errors } from '#shared/errors.ts'
import type { RunStatus } from '#shared/schemas.ts'
import type { AdminRun, AdminStats, Audit, Credits, LedgerEntry } from '../contract/schemas.js'

export interface AdminRunFilter {
  limit: number
  userId?: string
  status?: RunStatus
  agentId?: string
  /** `nextCursor` of the page before. */
  cursor?: string
}

export interface Grant {
  userId: string
  credits: number
  reason: string
  /** The same key and grant again: nothing is given a second time. */
  idempotencyKey?: string
}

export interface Ledger { credits: Credits, entries: LedgerEntry[], nextCursor: string | null }

declare module 'fastify' {
  interface FastifyInstance {
    /** What admins may do. Each is noted in `admin_actions` with who did it, and throws `forbidden` for everybody else. */
    admin: {
      /** The platform's figures. */
      stats (adminId: string): Promise<AdminStats>
      /** A page of everybody's runs, or of one user's, newest first. Throws `bad_request` for a cursor that is none. */
      runs (adminId: string, filter: AdminRunFilter): Promise<{ runs: AdminRun[], nextCursor: string | null }>
      /** A user's balance, and a page of its ledger, newest first. Throws `user_not_found`, `bad_request`. */
      ledger (adminId: string, userId: string, page: { limit: number, cursor?: string }): Promise<Ledger>
      /** Gives a user credits. Throws `user_not_found`, `bad_request`, `idempotency_key_reused`. */
      grant (adminId: string, grant: Grant): Promise<Credits>
      /** Whether balances, ledger and runs add up, with at most 100 of what does not. */
      audit (adminId: string): Promise<Audit>
    }
    /** Hook: the caller has a session. An API key may stand in a page for all to read, whoever's it is. */
    requireSession (request: FastifyRequest): Promise<void>
  }
}

async function admin (app: FastifyInstance): Promise<void> {
  const { database } = app

  app.decorate('admin', {
    stats: adminId => database.call<AdminStats>('admin_stats', { p_user_id: adminId }),

    async runs (adminId, { limit, userId, status, agentId, cursor }) {
      const { runs, next } = await database.call<{ runs: AdminRun[], next: string | null }>('admin_list_runs', {
        p_admin_id: adminId,
        p_limit: limit,
        p_user_id: userId ?? null,
        p_status: status ?? null,
        p_agent_id: agentId ?? null,
        p_after: cursor ?? null
      })
      return { runs, nextCursor: next }
    },

    async ledger (adminId, userId, { limit, cursor }) {
      const { next, ...ledger } = await database.call<Omit<Ledger, 'nextCursor'> & { next: string | null }>('admin_get_ledger', {
        p_admin_id: adminId, p_user_id: userId, p_limit: limit, p_after: cursor ?? null
      })
      return { ...ledger, nextCursor: next }
    },

    grant: (adminId, { userId, credits, reason, idempotencyKey }) => database.call<Credits>('admin_grant_credits', {
      p_admin_id: adminId,
      p_user_id: userId,
      p_credits: credits,
      p_reason: reason,
      p_idempotency_key: idempotencyKey ?? null
    }),

    audit: adminId => database.call<Audit>('admin_audit_credits', { p_admin_id: adminId })
  })

  app.decorate('requireSession', async (request: FastifyRequest) => {
    await app.requireUser(request)
    if (request.caller?.kind !== 'user') throw errors.sessionRequired()
  })
}

export default fp(admin, { name: 'admin', dependencies: ['database', 'auth'] })
