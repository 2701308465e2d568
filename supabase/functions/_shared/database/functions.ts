import type { Agent, CachedAnswer } from '../agent.ts'
import type { RunFailure } from '../errors.ts'
import type { GatewayFailure } from '../gateway/failure.ts'
import type { Rates } from '../price.ts'
import type { Run, Usage } from '../schemas.ts'
import type { EndedRun, Trace } from '../trace.ts'
import type { RequestInput } from './runs.ts'

/**
 * The SQL functions that both the service and the edge function call. A key that is optional here has a default in SQL.
 * The types of a run's input and output are stored as jsonb and returned as they were stored.
 */
export interface SharedFunctions {
  /** An active API key by its SHA-256 in hex, or an active publishable one by its id; all of it is null if there is none. */
  authenticate_api_key: { args: ApiKeyArguments, result: FoundApiKey }
  /** Raises `agent_not_found`; for a key also `unauthorized`. */
  get_agent: { args: { p_user_id: string, p_agent_id: string, p_api_key_id?: string | null }, result: FoundAgent }
  /**
   * Raises `agent_not_found`, `python_unavailable`, `insufficient_credits`, `plan_limit_reached`, `idempotency_key_reused`; for
   * a key also `unauthorized`, `key_budget_exhausted`.
   */
  begin_run: { args: BeginRun, result: Begun }
  /** Takes over a run that was begun without an owner. Raises `run_not_found`, `python_unavailable`. */
  adopt_run: { args: AdoptRun, result: Begun }
  /** Raises `run_not_found`. */
  get_run: { args: FindRun, result: Run }
  /** Ends a run that has no owner, and otherwise asks its owner to end it. Raises `run_not_found`. */
  cancel_run: { args: FindRun, result: Run }
  /** Ends a run as failed if it has no owner. Raises `run_not_found`. */
  drop_run: { args: { p_user_id: string, p_run_id: string, p_error: RunFailure }, result: Run }
  /** Keeps why the gateway failed, for admins; of a run that is under way by this attempt. */
  note_failures: { args: { p_run_id: string, p_attempt: number, p_failures: readonly GatewayFailure[] }, result: { noted: true } }
  /** Settles a run, once; repeated, it returns the settled run. Raises `run_not_found`, `stale_attempt`. */
  finish_run: { args: FinishRun, result: SettledRun }
  /** Those of the runs that have ended. */
  get_ended_runs: { args: { p_run_ids: string[] }, result: EndedRun[] }
  /** Extends the owner's lease on all of its runs. */
  heartbeat_worker: { args: { p_owner: string, p_lease_seconds: number }, result: Heartbeat }
  /** The attempt of each unfinished run that the owner has, by the run's id. */
  get_owned_runs: { args: { p_owner: string }, result: Record<string, number> }
  /** Releases the leases of an owner, or of all owners, on some runs or on all. */
  release_runs: { args: { p_owner: string | null, p_crashed?: boolean, p_run_ids?: string[] | null }, result: { released: number } }
}

export interface ApiKeyArguments {
  p_key_hash: string | null
  /** Instead of the hash. */
  p_api_key_id?: string | null
}

/** Whose an API key is, and what it may; `visitorSecret` signs the tokens of a publishable key's visitors. */
export type FoundApiKey =
  | { userId: string, apiKeyId: string, isPublishable: boolean, scopes: string[], origins: string[] | null, visitorSecret: string | null }
  | { userId: null, apiKeyId: null, isPublishable: null, scopes: null, origins: null, visitorSecret: null }

/** A run of a user; with a key, a run that this key has begun, and this visitor of it. */
export interface FindRun {
  p_user_id: string
  p_run_id: string
  p_api_key_id?: string | null
  p_visitor?: string | null
}

/** The first owner of a run. Without one, the run waits for a process that claims it. */
export interface FirstOwner {
  p_owner: string | null
  /** 0 without an owner. */
  p_lease_seconds: number
  /** Whether the run is queued, and not under way at once. */
  p_waiting?: boolean
  /** Whether the owner can run agents that are written in Python. */
  p_python?: boolean
  /** An agent with more bytes of JSON is not returned; by default every one is. */
  p_inline_bytes?: number
  /**
   * The run begins only if its user has fewer runs under way over all processes, no other run waits that the owner could
   * execute, and the owner can execute this one. Otherwise nothing is done, and the result is null.
   * By default it always begins.
   */
  p_max_per_user?: number | null
  /** With `p_max_per_user`: for how many bytes of inputs the owner has memory; by default any. */
  p_room?: number | null
}

export interface AdoptRun extends FirstOwner {
  p_user_id: string
  p_run_id: string
  /** Whether the same call was made before and its answer was lost. */
  p_repeated?: boolean
}

export interface BeginRun extends FirstOwner {
  p_user_id: string
  p_agent_id: string
  /** Two requests with the same idempotency key must have the same hash. */
  p_request_hash: string
  p_input: RequestInput
  p_idempotency_key?: string | null
  /** Whether the request says that it repeats another; null for clients that do not repeat, or give keys. How long ago it arrived. */
  p_is_repeated?: boolean | null
  p_waited_ms?: number
  /** The agent's configuration if the caller vouches for it; such a run is not charged. */
  p_agent?: Agent | null
  /** The models whose rates the run may need; the agent's own model replaces the first. */
  p_models?: readonly string[]
  /** The API key, and the visitor of it, that begins the run; null for a user's session. */
  p_api_key_id?: string | null
  p_visitor?: string | null
  /** The id of the new run; with it a call whose answer was lost may be repeated. */
  p_run_id?: string | null
  /** How many tokens the messages and function results have, estimated. */
  p_prompt_tokens?: number
}

/**
 * A run that has begun, or an earlier one that the idempotency key or another process has begun (`joined`). `agent` is null if it
 * is too large; `inputBytes` is the size of the run's input, with its agent, as JSON.
 */
export type Begun =
  | { run: Run, joined: false, agent: Agent | null, rates?: Rates, cached?: CachedAnswer | null, inputBytes: number }
  | { run: Run, joined: true, agent: Agent | null, rates?: Rates | null, cached?: CachedAnswer | null, inputBytes?: number | null }

/** An agent without its functions, for deciding where it runs. */
export interface FoundAgent extends Omit<Agent, 'functions' | 'entrypoint' | 'maxSteps'> {
  agentId: string
  executor: string
  isHeavy: boolean
  hasFunctions: boolean
  /** Whether it has functions that do not run in the edge function. */
  needsService: boolean
  /** Whether that is more than functions of unknown types. Databases before 0.3.0 do not say. */
  requiresService?: boolean
  /** The address of its own backend that an admin has approved. */
  railwayUrl: string | null
  /** Whether its owner asks for another address. */
  railwayUrlWaits: boolean
}

export interface FinishRun {
  p_run_id: string
  p_attempt: number
  p_status: 'succeeded' | 'failed' | 'cancelled'
  p_response: string
  p_finish_reason: string | null
  p_usage: Usage | null
  p_credits: number
  p_model: string | null
  p_error: RunFailure | null
  p_trace?: Trace | null
  p_keep_messages?: boolean
}

/** A run that has ended. */
export interface SettledRun extends Run {
  /** Another run of the user waits, perhaps for the end of this one. */
  userWaits?: true
}

export interface Heartbeat {
  /** Whether the lease had ended before, so that another process may have claimed runs of the owner. */
  lapsed: boolean
  /** The number of unfinished runs that the owner has. */
  owned: number
  /** The ids of those that are to be cancelled. */
  cancel: string[]
}
