import { hash, randomUUID } from 'node:crypto'
import type { Agent } from '#shared/agent.ts'
import type { BeginRun, Begun, FirstOwner } from '#shared/database/functions.ts'
import type { RunKind } from '#shared/database/run-kind.ts'
import { repeatLost } from '#shared/database/repeat.ts'
import { checkMessages } from '#shared/http/check-messages.ts'
import { type ModelMessage, toKnownMessages } from '#shared/messages.ts'
import { requestText } from '#shared/request-text.ts'
import type { FunctionResult, Message, ResponseFormat } from '#shared/schemas.ts'
import { toStoredValue } from '#shared/text.ts'
import type { RequestTrace } from '#shared/traces/request-span.ts'
import type { TraceContext } from '#shared/traces/trace-context.ts'
import { estimatePrompt } from '#shared/usage.ts'
import type { Database } from '../../database/port.js'
import { INLINE_INPUT } from '../../lib/memory/memory-budget.js'
import { LEASE_SECONDS } from './lease.js'
import type { Admission } from './queue.js'

/** What begins a run. */
export interface RunRequest {
  userId: string
  /** By which face it came. */
  kind: RunKind
  /** The API key that begins it, and its visitor, if it is not the user's session or the service. */
  apiKeyId?: string | null
  visitor?: string | null
  agentId: string
  messages: Message[]
  functionResults?: FunctionResult[]
  responseFormat?: ResponseFormat
  /** The agent's configuration where the caller vouches for user, agent and credits; such a run is not charged. */
  agent?: Agent
  idempotencyKey?: string
  /** Where the client repeats requests without keys: whether this is a repetition, and when it arrived, by `performance.now()`. */
  repetition?: { isRepeated: boolean, arrivedAt: number }
  /**
   * A run that the edge function has begun, with a credit reserved, and that this service adopts. Its agent is the one
   * that was stored with it.
   */
  runId?: string
  /** The trace in which the request is, and whom to tell that it has begun a run. */
  trace?: RequestTrace
}

export interface BeginOptions {
  database: Pick<Database, 'call'>
  /** The models whose rates a run may need: the default one, and the fallbacks. */
  models: readonly string[]
  isDraining (): boolean
  /** Whether this process can run agents in Python. */
  hasPython (): Promise<boolean>
}

/** The begin of one run in the database, which holds if connections break meanwhile: its id is chosen before. */
export class RunBegin {
  readonly runId: string
  /** With the properties of the contract alone. All three are as the database returns them, so that attempts do not differ. */
  readonly messages: ModelMessage[]
  readonly functionResults: FunctionResult[] | undefined
  readonly responseFormat: ResponseFormat | undefined

  /** @throws {ServiceError} bad_request, if the messages do not fit each other. */
  constructor (private readonly request: RunRequest, private readonly options: BeginOptions) {
    checkMessages(request.messages)
    // As PostgreSQL writes ids, by which the log and the leases know runs.
    this.runId = request.runId?.toLowerCase() ?? randomUUID()
    this.messages = toKnownMessages(request.messages)
    this.functionResults = toStoredValue(request.functionResults) as FunctionResult[] | undefined
    this.responseFormat = toStoredValue(request.responseFormat) as ResponseFormat | undefined
  }

  /**
   * Begins the run; undefined if it cannot begin within the limits of the admission.
   * @throws {ServiceError} as `Runs.begin`.
   */
  async make ({ owner, waits, limits }: Pick<Admission, 'owner' | 'waits' | 'limits'>): Promise<Begun | undefined> {
    const { database, hasPython, isDraining } = this.options
    const ownership: FirstOwner = {
      p_owner: owner,
      p_lease_seconds: owner ? LEASE_SECONDS : 0,
      p_waiting: waits,
      // A run that begins without an owner goes to a process that can run Python.
      p_python: owner === null || await hasPython(),
      p_inline_bytes: INLINE_INPUT,
      p_max_per_user: limits?.maxPerUser ?? null,
      p_room: limits?.room ?? null
    }
    const { userId, runId } = this.request
    if (runId) {
      const adoption = { p_user_id: userId, p_run_id: runId, ...ownership }
      return orUndefined(await repeatLost(isRepeated => database.call('adopt_run', { ...adoption, p_repeated: isRepeated }), isDraining))
    }
    const begin = Object.assign(this.#arguments(), ownership)
    return orUndefined(await repeatLost(() => database.call('begin_run', begin), isDraining))
  }

  get kind (): RunKind { return this.request.kind }
  get traceContext (): TraceContext | undefined { return this.request.trace?.context }

  /** The request has begun the run, and joined none. */
  noteBegun (): void {
    this.request.trace?.onBegun?.(this.runId)
  }

  /** What makes another request the same: OpenAI's clients repeat one without a key of its own. */
  get hash (): string {
    const { agentId, messages, functionResults, responseFormat, agent } = this.request
    // Of the messages as they came: a repeated request has the hash that earlier releases stored.
    return hash('sha256', requestText({ agentId, messages, functionResults, agent, responseFormat }))
  }

  #arguments (): Omit<BeginRun, keyof FirstOwner> {
    const { userId, apiKeyId, visitor, agentId, agent, idempotencyKey, repetition } = this.request
    return {
      p_user_id: userId,
      p_agent_id: agentId,
      p_request_hash: this.hash,
      p_input: { messages: this.messages, functionResults: this.functionResults, responseFormat: this.responseFormat, kind: this.kind, traceContext: this.traceContext },
      p_idempotency_key: idempotencyKey ?? null,
      ...(repetition ? { p_is_repeated: repetition.isRepeated, p_waited_ms: performance.now() - repetition.arrivedAt } : {}),
      p_agent: agent ?? null,
      p_models: this.options.models,
      p_api_key_id: apiKeyId ?? null,
      p_visitor: visitor ?? null,
      p_run_id: this.runId,
      p_prompt_tokens: estimatePrompt(this.messages)
    }
  }
}

/** With limits the database returns null where a run cannot begin within them. */
function orUndefined (begun: Begun | null): Begun | undefined {
  return begun ?? undefined
}
