import type { Run } from '#shared/schemas.ts'
import type { AgentFilter, AdminRunFilter, Erasure, Grant, Subject } from '../../administration/administration.js'
import type { AdminAgent, NewAgentBody, AgentValues, DeletedAgent, ErasedRuns, InspectedAgent, ListedPeriod, MadeUser, RetentionPeriod } from '../../contract/agents.js'
import type { ApiKey, CreatedApiKey, KeyBody } from '../../contract/api-keys.js'
import type { AdminRun, AdminUser, Credits, InspectedRun } from '../../contract/schemas.js'

export interface Page { nextCursor: string | null }

/** What commands do, on a database or at the service that has it. Each act and look is recorded, as the operator's. */
export interface Backend {
  agents (filter: AgentFilter): Promise<Page & { agents: AdminAgent[] }>
  agent (id: string): Promise<InspectedAgent>
  createAgent (values: NewAgentBody): Promise<InspectedAgent>
  editAgent (id: string, values: AgentValues): Promise<InspectedAgent>
  deleteAgent (id: string): Promise<DeletedAgent>
  /** Erases a batch. */
  eraseRuns (erasure: Erasure): Promise<ErasedRuns>
  setRetention (subject: Subject, days: number | null): Promise<RetentionPeriod>
  retention (filter: { limit: number, cursor?: number }): Promise<{ periods: ListedPeriod[], nextCursor: number | null }>
  keys (userId: string): Promise<{ keys: ApiKey[] }>
  createKey (userId: string, body: KeyBody): Promise<CreatedApiKey>
  revokeKey (userId: string, id: string): Promise<ApiKey>
  users (filter: { limit: number, email?: string, cursor?: string }): Promise<Page & { users: AdminUser[] }>
  createUser (email: string): Promise<MadeUser>
  grant (grant: Grant): Promise<Credits>
  runs (filter: AdminRunFilter): Promise<Page & { runs: AdminRun[] }>
  run (id: string): Promise<InspectedRun>
  cancelRun (id: string): Promise<Run>
  watchRuns (since?: string): Promise<{ runs: AdminRun[], until: string }>
  /** The events of a run until it ends; of a run elsewhere only how it stands and its answer. */
  follow (id: string, signal: AbortSignal): AsyncIterable<RunLine>
  close (): Promise<void>
}

/** Something that a run has done: an event, or a change of its state. */
export interface RunLine { type: string, [field: string]: unknown }
