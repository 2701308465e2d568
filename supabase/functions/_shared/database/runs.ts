import type { Agent, CachedAnswer } from '../agent.ts'
import type { ToolCall } from '../messages.ts'
import type { Rates } from '../price.ts'
import type { RecordedSpans } from '../traces/span.ts'
import type { TraceContext } from '../traces/trace-context.ts'
import type { RunKind } from './run-kind.ts'
import type { FunctionResult, Message, ResponseFormat, Run, RunEvent, Usage } from '../schemas.ts'

// The data of runs as the database stores and returns it.

/** What a request gives to its run. */
export interface RequestInput {
  messages: Message[]
  functionResults?: FunctionResult[]
  responseFormat?: ResponseFormat
  /** Missing in what earlier releases have stored. */
  kind?: RunKind
  /** In which trace the run is, if one was handed to it. */
  traceContext?: TraceContext
}

/** A run's input as it is stored when the run begins. */
export interface RunInput extends RequestInput {
  agent: Agent
  rates?: Rates
  cached?: CachedAnswer | null
}

/**
 * The answer to a claim: the run, or why it was refused. `ended`: the run has ended. `owned`: a process owns it. `busy`: its
 * user has as many runs as the limit allows. `unable`: this process cannot execute it. `full`: it has no memory for it.
 */
export interface Claim { claimed?: ClaimedRun, refused?: 'ended' | 'owned' | 'busy' | 'unable' | 'full' }

/** An unfinished run with all that its next attempt needs. */
export interface ClaimedRun {
  run: Run
  userId: string
  /** Whether its user has cancelled it. */
  cancel: boolean
  /** Null if it is too large to be returned unasked; `get_run_input` returns it, and the steps. */
  input: RunInput | null
  steps: StoredStep[]
  /** Of input and steps, as JSON. */
  inputBytes: number
}

/** What an attempt is made with. */
export interface StoredInput { input: RunInput, steps: StoredStep[] }

export interface WaitingRun { runId: string, userId: string }

/** A step as users read it in `agent_run_steps`. */
export interface StepEntry {
  kind: 'model' | 'tool'
  name: string
  finishReason?: string | null
  usage?: Usage
  /** ISO. */
  startedAt: string
  /** What the run has cost so far. */
  credits?: number
}

/** Consecutive events of a run, with the number of the first. */
export interface EmittedEvents { first: number, events: RunEvent[] }

export interface RecordedEvents { runId: string, attempt: number, told: EmittedEvents[] }

/** What functions found, or answered, before the model was asked, with the events that they emitted. */
export interface FunctionsRecord { kind: 'functions', results: FunctionResult[], answer?: string, emitted: RunEvent[] }

/** A model's turn after which the run went on. */
export interface ModelRecord {
  kind: 'model'
  content: string
  toolCalls: ToolCall[]
  /** The model requested more calls than are kept. */
  hasMoreCalls?: true
  /** What the model wants back with the results of its calls. */
  extra?: Record<string, unknown>
  finishReason: string | null
  /** The model as the gateway names it, and as the request named it. */
  model: string
  askedFor: string
  usage: Usage
  /** The tries of this turn that failed and are billed too. */
  failed?: BilledTry[]
}

/** A try of a model step that is on the run's bill. @property hasOutput whether it said anything: the price per run is due with that. */
export interface BilledTry { askedFor: string, usage: Usage, hasOutput: boolean }

/** A tool's result, or the reason why it failed, as the model reads it. */
export interface ToolRecord { kind: 'tool', id: string, name: string, result?: string, error?: string }

/** A step that has ended, with everything that a later attempt needs to continue after it without repeating it; its spans where the run is traced. */
export type StepRecord = (FunctionsRecord | ModelRecord | ToolRecord) & { spans?: RecordedSpans }

/** A step that an earlier attempt has recorded, with its number in the run. */
export type StoredStep = StepRecord & { step: number }

/** Whose a run is: the living process that makes it, or the one that made it if it has ended; null if there is none. */
export interface RunOwner { readonly runId: string, readonly owner: string | null, readonly hasEnded: boolean }
