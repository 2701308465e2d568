import type { SupabaseClient } from '@supabase/supabase-js'
import { toHttpUrl, type Config } from './config.ts'
import type { Database } from './database.ts'
import { errors } from './errors.ts'
import type { LogFields } from './http/responses.ts'
import type { Leases } from './runs/leases.ts'
import type { RunInPlace } from './runs/local-run.ts'
import type { Agent } from './prompt.ts'
import type { Ended, Run } from './run.ts'

/** What lives as long as the isolate does. */
export interface Isolate {
  readonly config: Config
  readonly supabase: () => SupabaseClient
  readonly database: Database
  readonly leases: Leases
  /** The runs that are under way in this isolate. */
  readonly running: Map<string, RunInPlace>
}

/** A request on its way. */
export interface Visit extends Isolate {
  readonly request: Request
  readonly fields: LogFields
  /** When it has to be over, in milliseconds since 1970. */
  readonly deadline: number
}

/** An agent as `get_agent` has it. */
export interface FoundAgent extends Agent {
  agentId: string
  executor: string
  isHeavy: boolean
  hasFunctions: boolean
  railwayUrl: string | null
}

/** The service that runs an agent: its own, or the one that is there for all. */
export function backendOf ({ config }: Isolate, agent?: FoundAgent): string | undefined {
  return toHttpUrl(agent?.railwayUrl) ?? config.backendUrl
}

/** Where a run is to be asked for: at the backend, or here where there is none. */
export function addressOf ({ config }: Isolate, backend: string | undefined, runId: string): string {
  return backend ? `${backend}/api/runs/${runId}` : `${config.supabaseUrl}/functions/v1/agent-runtime/runs/${runId}`
}

/** A run of the visit's caller as it stands. Throws `run_not_found`. */
export function findRun ({ database, fields }: Visit, runId: string): Promise<Run> {
  return database.call<Run>('get_run', { p_user_id: fields.userId, p_run_id: runId })
}

/** A run with what can be told of it, if it has ended. */
export async function findEnded ({ database }: Isolate, runId: string): Promise<Ended | undefined> {
  const [ended] = await database.call<Ended[]>('get_ended_runs', { p_run_ids: [runId] })
  return ended
}

/** Where a run has to have ended. */
export async function requireEnded (isolate: Isolate, runId: string): Promise<Ended> {
  const ended = await findEnded(isolate, runId)
  if (!ended) throw errors.runElsewhere().with({ runId, retryAfter: 5 })
  return ended
}
