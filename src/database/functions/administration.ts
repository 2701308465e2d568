import type { RunStatus } from '#shared/schemas.ts'
import type { AdminAgent, AgentValues, DeletedAgent, ErasedRuns, InspectedAgent, ListedPeriod, MadeUser, RetentionPeriod } from '../../contract/agents.js'
import type { AdminRun, AdminStats, AdminUser, AgentBackend, Audit, Credits, InspectedRun, LedgerEntry, RailwayUrlRequest } from '../../contract/schemas.js'
import type { RunPage } from './runs.js'

/** The SQL functions for balances, their audit, and administrators. Those named `admin_…` raise `forbidden` for anyone else. */
export interface AdministrationFunctions {
  /** The version of the schema, and whether the database accepts writes. */
  schema_version: { args: Record<string, never>, result: SchemaVersion }
  get_credits: { args: { p_user_id: string }, result: Credits }
  /** Compares balances, ledger and runs; `p_limit` limits the problems that are listed. */
  audit_credits: { args: { p_limit?: number }, result: Audit }
  /** Enters what makes ledgers add up to their balances. It is for history. Raises `bad_request`. */
  adjust_ledger: { args: { p_reason: string }, result: { adjusted: number } }
  admin_stats: { args: { p_user_id: string }, result: AdminStats }
  /** A page of everybody's runs, or of one user's, newest first. Raises `bad_request`. */
  admin_list_runs: {
    args: {
      p_admin_id: string,
      p_limit: number,
      p_user_id?: string | null,
      p_status?: RunStatus | null,
      p_agent_id?: string | null,
      p_after?: string | null
    }
    result: RunPage<AdminRun>
  }
  /** A run with its steps and why it failed. Raises `run_not_found`. */
  admin_get_run: { args: { p_admin_id: string, p_run_id: string }, result: InspectedRun }
  /** Whose a run is, for an admin who is about to do `p_action`. Raises `run_not_found`. */
  admin_open_run: { args: { p_admin_id: string, p_run_id: string, p_action: string }, result: { userId: string } }
  /** A page of users whose e-mail addresses begin so, newest first. Raises `bad_request`. */
  admin_list_users: {
    args: { p_admin_id: string, p_limit: number, p_email?: string | null, p_after?: string | null }
    result: { users: AdminUser[], next: string | null }
  }
  /** A user's balance, and a page of its ledger, newest first. Raises `user_not_found`, `bad_request`. */
  admin_get_ledger: {
    args: { p_admin_id: string, p_user_id: string, p_limit: number, p_after?: string | null }
    result: { credits: Credits, entries: LedgerEntry[], next: string | null }
  }
  /** Grants a user credits, or takes some, once a key. Raises `user_not_found`, `bad_request`, `idempotency_key_reused`. */
  admin_grant_credits: {
    args: { p_admin_id: string, p_user_id: string, p_credits: number, p_reason: string, p_idempotency_key?: string | null }
    result: Credits
  }
  /** The agents whose owners ask for another backend, those that have waited longest first. */
  admin_list_railway_urls: { args: { p_admin_id: string, p_limit?: number }, result: { requests: RailwayUrlRequest[], total: number } }
  /** Approves or refuses what an owner asks for. Raises `agent_not_found`, `railway_url_changed`. */
  admin_settle_railway_url: { args: { p_admin_id: string, p_agent_id: string, p_url: string, p_approve: boolean }, result: AgentBackend }
  /** A page of everybody's agents, or of one user's, newest first. Raises `bad_request`. */
  admin_list_agents: {
    args: { p_admin_id: string, p_limit: number, p_user_id?: string | null, p_published?: boolean | null, p_name?: string | null, p_after?: string | null }
    result: { agents: AdminAgent[], next: string | null }
  }
  /** An agent with its prompt and functions. Raises `agent_not_found`. */
  admin_get_agent: { args: { p_admin_id: string, p_agent_id: string }, result: InspectedAgent }
  /** Makes an agent, for `p_agent_id` null, or changes one. Raises `user_not_found`, `agent_not_found`, `bad_request`. */
  admin_save_agent: { args: { p_admin_id: string, p_agent_id: string | null, p_values: AgentValues & { userId?: string } }, result: InspectedAgent }
  /** Deletes an agent; its runs stay. Raises `agent_not_found`. */
  admin_delete_agent: { args: { p_admin_id: string, p_agent_id: string }, result: DeletedAgent }
  /** Erases texts of a user's runs, or of an agent's, a batch a call. Raises `bad_request`, `user_not_found`, `agent_not_found`. */
  admin_erase_runs: {
    args: { p_admin_id: string, p_user_id: string | null, p_agent_id: string | null, p_days?: number, p_limit?: number }
    result: ErasedRuns
  }
  /** Makes a user where there is no Supabase Auth. Raises `bad_request`. */
  admin_create_user: { args: { p_admin_id: string, p_email: string }, result: MadeUser }
  /** Sets for how long texts of a user's runs are kept, or of an agent's. Raises `bad_request`, `user_not_found`, `agent_not_found`. */
  admin_set_retention: {
    args: { p_admin_id: string, p_user_id: string | null, p_agent_id: string | null, p_days: number | null }
    result: RetentionPeriod
  }
  /** A page of the periods of users and agents, newest first. */
  admin_list_retention: { args: { p_admin_id: string, p_limit: number, p_after?: number | null }, result: { periods: ListedPeriod[], next: number | null } }
  /** The runs that have begun, started or ended since a time; without one none. */
  admin_watch_runs: {
    args: { p_admin_id: string, p_since?: string | null, p_limit?: number }
    result: { runs: AdminRun[], until: string }
  }
  /** Records what an admin has asked for in vain, and the code with which it was refused. */
  admin_note_miss: {
    args: { p_admin_id: string, p_action: string, p_error: string, p_user_id?: string | null, p_details?: object }
    result: { noted: true }
  }
  admin_audit_credits: { args: { p_admin_id: string, p_limit?: number }, result: Audit }
}

export interface SchemaVersion {
  version: number
  /** The oldest version of the service's schema that this one still serves. */
  oldest: number
  writable: boolean
  /** The database's time, ISO 8601; a schema of an earlier release does not tell it. */
  now?: string
}
