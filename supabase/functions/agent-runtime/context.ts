import type { SupabaseClient } from '@supabase/supabase-js'
import type { FoundAgent } from '../_shared/database/functions.ts'
import { errors } from '../_shared/errors.ts'
import { accessArguments, type RunAccess } from '../_shared/http/caller.ts'
import type { KnownEvents } from '../_shared/reader/known-events.ts'
import type { Run } from '../_shared/schemas.ts'
import type { EndedRun } from '../_shared/trace.ts'
import type { RequestTrace } from '../_shared/traces/request-span.ts'
import type { Tracer } from '../_shared/traces/tracer.ts'
import { type Config, toHttpUrl } from './config.ts'
import type { Database } from './database.ts'
import { log, type LogFields } from './http/log.ts'
import type { Leases } from './runs/leases.ts'
import type { LocalRun } from './runs/local-run.ts'

/** The state of one isolate, shared by its requests. */
export interface Isolate {
  readonly config: Config
  readonly supabase: () => SupabaseClient
  readonly database: Database
  readonly leases: Leases
  /** Undefined where no collector of traces is configured. */
  readonly tracer?: Tracer
  /** The unfinished runs of this isolate, by id. */
  readonly running: Map<string, LocalRun>
  /** The agents whose wish for another address has been logged. */
  readonly notedWishes: Set<string>
}

/** A request and the isolate that answers it. */
export interface RequestContext extends Isolate {
  readonly request: Request
  readonly fields: LogFields
  /** Whether the run's frames are to be understood by readers of OpenAI's deltas too, as those of agents that are not heavy are. */
  readonly deltas?: boolean
  /** The Authorization header by which the service knows the caller, where that is not the request's own. */
  readonly authorization?: string
  /** What the request hands on to the run that it begins. */
  readonly trace?: RequestTrace
  /** What the caller knows of events. */
  readonly known: KnownEvents
  /** When the request has to end, in milliseconds since 1970. */
  readonly deadline: number
}

/** The address of the service that runs an agent: the agent's own, or else the configured one. */
export function backendOf ({ config }: Isolate, agent?: FoundAgent): string | undefined {
  return toHttpUrl(agent?.railwayUrl) ?? config.backendUrl
}

/** Whether an agent is for the service alone, whatever functions it has. */
export function isHeavy ({ isHeavy, executor }: FoundAgent): boolean {
  return isHeavy || executor === 'python'
}

/** Logs, once an isolate, that an agent's own address is not used yet. */
export function noteWish ({ notedWishes }: Isolate, { agentId, railwayUrlWaits }: FoundAgent): void {
  if (!railwayUrlWaits || notedWishes.has(agentId)) return
  notedWishes.add(agentId)
  log('info', 'the railway_url that an agent\'s owner asks for waits for an admin, see GET /api/admin/railway-urls', { agentId })
}

/** The address of a run: at the backend, or at this function if there is no backend. */
export function addressOf ({ config }: Isolate, backend: string | undefined, runId: string): string {
  return backend ? `${backend}/api/runs/${runId}` : `${config.supabaseUrl}/functions/v1/agent-runtime/runs/${runId}`
}

/** A run that may be reached, in its current state. @throws {ServiceError} run_not_found. */
export function findRun ({ database }: Isolate, access: RunAccess, runId: string): Promise<Run> {
  return database.call('get_run', { p_run_id: runId, ...accessArguments(access) })
}

/** A run with its trace; undefined if it has not ended. */
export async function findEnded ({ database }: Isolate, runId: string): Promise<EndedRun | undefined> {
  const [ended] = await database.call('get_ended_runs', { p_run_ids: [runId] })
  return ended
}

/** A run with its trace. @throws {ServiceError} run_elsewhere, if it has not ended. */
export async function requireEnded (isolate: Isolate, runId: string): Promise<EndedRun> {
  const ended = await findEnded(isolate, runId)
  if (!ended) throw errors.runElsewhere().with({ runId, retryAfter: 5 })
  return ended
}
