import { errors, ServiceError } from '#shared/errors.ts'
import type { RunAccess } from '#shared/http/caller.ts'
import type { RunStatus } from '#shared/schemas.ts'
import type { AdminAgent, NewAgentBody, AgentValues, DeletedAgent, ErasedRuns, InspectedAgent, ListedPeriod, MadeUser, RetentionPeriod } from '../contract/agents.js'
import type { AdminRun, AdminStats, AdminUser, AgentBackend, Audit, Credits, InspectedRun, LedgerEntry, RailwayUrlRequest } from '../contract/schemas.js'
import type { AdminAction, AdminFigures, HeavyAgent } from '../contract/rows.js'
import type { Database } from '../database/port.js'

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
  /** Below zero: so many are taken. */
  credits: number
  reason: string
  /** The same key and grant again: nothing is given a second time. */
  idempotencyKey?: string
}

export interface AgentFilter {
  limit: number
  userId?: string
  published?: boolean
  /** What their names have in them, in any case. */
  name?: string
  /** `nextCursor` of the page before. */
  cursor?: string
}

/** A user, or an agent. */
export type Subject = { userId: string, agentId?: undefined } | { agentId: string, userId?: undefined }

/** Which runs' texts are erased: those of a user, or those of an agent, that ended so many days ago. */
export type Erasure = { olderThanDays: number } & Subject

export interface Ledger { credits: Credits, entries: LedgerEntry[], nextCursor: string | null }

/** What an admin asks for, as `admin_actions` has it. */
interface Look { action: string, userId?: string, details?: object }

/** The admin as whom the commands act: whoever has the service's own key, or its data directory. It is no user's id. */
export const OPERATOR = '00000000-0000-0000-0000-000000000000'
/** Runs whose texts one call erases. */
const ERASE_BATCH = 500

/**
 * What admins may do. The database notes each act and look with its admin in `admin_actions`, also one that finds nothing,
 * and throws `forbidden` for everybody else.
 */
export class Administration {
  constructor (private readonly database: Pick<Database, 'call'>) {}

  /** The platform's figures. */
  stats (adminId: string): Promise<AdminStats> {
    return this.database.call('admin_stats', { p_user_id: adminId })
  }

  /** A page of everybody's runs, or of one user's, newest first. Throws `bad_request` for a cursor that is none. */
  async runs (adminId: string, { limit, userId, status, agentId, cursor }: AdminRunFilter): Promise<{ runs: AdminRun[], nextCursor: string | null }> {
    const { runs, next } = await this.#noted(adminId, { action: 'runs', userId, details: { status, agentId, after: cursor } }, () => this.database.call('admin_list_runs', {
      p_admin_id: adminId,
      p_limit: limit,
      p_user_id: userId ?? null,
      p_status: status ?? null,
      p_agent_id: agentId ?? null,
      p_after: cursor ?? null
    }))
    return { runs, nextCursor: next }
  }

  /** A run with its steps, and why it failed. Throws `run_not_found`. */
  run (adminId: string, runId: string): Promise<InspectedRun> {
    return this.#noted(adminId, { action: 'run', details: { runId } }, () => this.database.call('admin_get_run', { p_admin_id: adminId, p_run_id: runId }))
  }

  /** Opens a run to an admin, who may then do with it what its user may. Throws `run_not_found`. */
  async openRun (adminId: string, runId: string, action: 'run_events' | 'cancel'): Promise<RunAccess> {
    const { userId } = await this.#noted(adminId, { action, details: { runId } }, () =>
      this.database.call('admin_open_run', { p_admin_id: adminId, p_run_id: runId, p_action: action }))
    return { userId, apiKeyId: null, visitor: null }
  }

  /** A page of users, newest first. @param email how their addresses begin, in any case. Throws `bad_request` for a cursor that is none. */
  async users (adminId: string, { limit, email, cursor }: { limit: number, email?: string, cursor?: string }): Promise<{ users: AdminUser[], nextCursor: string | null }> {
    const { users, next } = await this.#noted(adminId, { action: 'users', details: { email, after: cursor } }, () =>
      this.database.call('admin_list_users', { p_admin_id: adminId, p_limit: limit, p_email: email ?? null, p_after: cursor ?? null }))
    return { users, nextCursor: next }
  }

  /** A user's balance, and a page of its ledger, newest first. Throws `user_not_found`, `bad_request`. */
  async ledger (adminId: string, userId: string, { limit, cursor }: { limit: number, cursor?: string }): Promise<Ledger> {
    const { next, ...ledger } = await this.#noted(adminId, { action: 'ledger', userId, details: { after: cursor } }, () => this.database.call('admin_get_ledger', {
      p_admin_id: adminId, p_user_id: userId, p_limit: limit, p_after: cursor ?? null
    }))
    return { ...ledger, nextCursor: next }
  }

  /** Gives a user credits, or takes some that remain. Throws `user_not_found`, `bad_request`, `idempotency_key_reused`. */
  grant (adminId: string, { userId, credits, reason, idempotencyKey }: Grant): Promise<Credits> {
    return this.#noted(adminId, { action: 'grant', userId, details: { credits, reason } }, () => this.database.call('admin_grant_credits', {
      p_admin_id: adminId,
      p_user_id: userId,
      p_credits: credits,
      p_reason: reason,
      p_idempotency_key: idempotencyKey ?? null
    }))
  }

  /** A page of everybody's agents, or of one user's, newest first. Throws `bad_request` for a cursor that is none. */
  async agents (adminId: string, { limit, userId, published, name, cursor }: AgentFilter): Promise<{ agents: AdminAgent[], nextCursor: string | null }> {
    const { agents, next } = await this.#noted(adminId, { action: 'agents', userId, details: { published, name, after: cursor } }, () => this.database.call('admin_list_agents', {
      p_admin_id: adminId, p_limit: limit, p_user_id: userId ?? null, p_published: published ?? null, p_name: name ?? null, p_after: cursor ?? null
    }))
    return { agents, nextCursor: next }
  }

  /** An agent with its prompt and functions. Throws `agent_not_found`. */
  agent (adminId: string, agentId: string): Promise<InspectedAgent> {
    return this.#noted(adminId, { action: 'agent', details: { agentId } }, () =>
      this.database.call('admin_get_agent', { p_admin_id: adminId, p_agent_id: agentId }))
  }

  /** Makes an agent of a user. Throws `user_not_found`, `bad_request`. */
  createAgent (adminId: string, values: NewAgentBody): Promise<InspectedAgent> {
    return this.#noted(adminId, { action: 'agent_create', userId: values.userId }, () =>
      this.database.call('admin_save_agent', { p_admin_id: adminId, p_agent_id: null, p_values: values }))
  }

  /** Changes an agent; what is missing in `values` stays. Throws `agent_not_found`, `bad_request`. */
  editAgent (adminId: string, agentId: string, values: AgentValues): Promise<InspectedAgent> {
    return this.#noted(adminId, { action: 'agent_edit', details: { agentId } }, () =>
      this.database.call('admin_save_agent', { p_admin_id: adminId, p_agent_id: agentId, p_values: values }))
  }

  /** Deletes an agent with its functions and schedules; its runs and the ledger stay. Throws `agent_not_found`. */
  deleteAgent (adminId: string, agentId: string): Promise<DeletedAgent> {
    return this.#noted(adminId, { action: 'agent_delete', details: { agentId } }, () =>
      this.database.call('admin_delete_agent', { p_admin_id: adminId, p_agent_id: agentId }))
  }

  /** Erases a batch of runs' texts; the caller repeats it while there may be more. Throws `user_not_found`, `agent_not_found`. */
  eraseRuns (adminId: string, { userId, agentId, olderThanDays }: Erasure): Promise<ErasedRuns> {
    return this.#noted(adminId, { action: 'erase_runs', userId, details: { agentId, olderThanDays } }, () => this.database.call('admin_erase_runs', {
      p_admin_id: adminId, p_user_id: userId ?? null, p_agent_id: agentId ?? null, p_days: olderThanDays, p_limit: ERASE_BATCH
    }))
  }

  /** Makes a user; beside a Supabase project its Auth does. Throws `bad_request`. */
  createUser (adminId: string, email: string): Promise<MadeUser> {
    return this.#noted(adminId, { action: 'user_create' }, () => this.database.call('admin_create_user', { p_admin_id: adminId, p_email: email }))
  }

  /** Sets for how many days the texts of runs are kept after their end; null: as long as those of all. Throws `user_not_found`, `agent_not_found`, `bad_request`. */
  setRetention (adminId: string, { userId, agentId }: Subject, days: number | null): Promise<RetentionPeriod> {
    return this.#noted(adminId, { action: 'set_retention', userId, details: { agentId, days } }, () => this.database.call('admin_set_retention', {
      p_admin_id: adminId, p_user_id: userId ?? null, p_agent_id: agentId ?? null, p_days: days
    }))
  }

  /** A page of the periods of users and agents, newest first. */
  async retention (adminId: string, { limit, cursor }: { limit: number, cursor?: number }): Promise<{ periods: ListedPeriod[], nextCursor: number | null }> {
    const { periods, next } = await this.database.call('admin_list_retention', { p_admin_id: adminId, p_limit: limit, p_after: cursor ?? null })
    return { periods, nextCursor: next }
  }

  /** The runs that have begun, started or ended since a time, for who asks again with `until`. Without a time none: a watch begins. */
  watchRuns (adminId: string, since?: string): Promise<{ runs: AdminRun[], until: string }> {
    return this.database.call('admin_watch_runs', { p_admin_id: adminId, p_since: since ?? null })
  }

  /** The agents whose owners ask for another backend, those that have waited longest first. */
  railwayUrls (adminId: string, limit: number): Promise<{ requests: RailwayUrlRequest[], total: number }> {
    return this.database.call('admin_list_railway_urls', { p_admin_id: adminId, p_limit: limit })
  }

  /**
   * Approves or refuses the backend that an agent's owner asks for.
   * @param url what the admin has looked at. Throws `agent_not_found`, `railway_url_changed`.
   */
  settleRailwayUrl (adminId: string, agentId: string, { url, approve }: { url: string, approve: boolean }): Promise<AgentBackend> {
    return this.#noted(adminId, { action: 'railway_url', details: { agentId, url, approved: approve } }, () =>
      this.database.call('admin_settle_railway_url', { p_admin_id: adminId, p_agent_id: agentId, p_url: url, p_approve: approve }))
  }

  /** What was run a day, and who has runs under way or waiting, 50 users at the most. @param days today included. */
  figures (adminId: string, days: number): Promise<AdminFigures> {
    return this.#noted(adminId, { action: 'figures' }, () => this.database.call('admin_figures', { p_admin_id: adminId, p_days: days, p_limit: 50 }))
  }

  /** A page of what admins did and looked at, newest first. @param cursor `nextCursor` of the page before. */
  async actions (adminId: string, { limit, cursor }: { limit: number, cursor?: number }): Promise<{ actions: AdminAction[], nextCursor: number | null }> {
    const { actions, next } = await this.#noted(adminId, { action: 'actions', details: { after: cursor } }, () =>
      this.database.call('admin_list_actions', { p_admin_id: adminId, p_limit: limit, p_after: cursor ?? null }))
    return { actions, nextCursor: next }
  }

  /** Sets whether the edge function hands an agent to the service. Throws `agent_not_found`. */
  setHeavy (adminId: string, agentId: string, heavy: boolean): Promise<HeavyAgent> {
    return this.#noted(adminId, { action: 'heavy', details: { agentId, heavy } }, () =>
      this.database.call('admin_set_heavy', { p_admin_id: adminId, p_agent_id: agentId, p_heavy: heavy }))
  }

  /** Whether balances, ledger and runs add up, with at most 100 of the problems. */
  audit (adminId: string): Promise<Audit> {
    return this.database.call('admin_audit_credits', { p_admin_id: adminId })
  }

  /** What is refused is rolled back together with its note, so it is noted afterwards. */
  async #noted<T> (adminId: string, { action, userId, details = {} }: Look, look: () => Promise<T>): Promise<T> {
    try {
      return await look()
    } catch (error) {
      if (error instanceof ServiceError && error.statusCode < 500 && error.code !== errors.sessionRequired.code) {
        await this.database.call('admin_note_miss', {
          p_admin_id: adminId, p_action: action, p_error: error.code, p_user_id: userId ?? null, p_details: details
        })
      }
      throw error
    }
  }
}
