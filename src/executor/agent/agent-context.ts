import type { Agent } from '#shared/agent.ts'
import type { StoredStep, RunInput, StepEntry, StepRecord } from '#shared/database/runs.ts'
import type { Rates } from '#shared/price.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { RunSpans } from '#shared/traces/run-spans.ts'
import type { TraceContext } from '#shared/traces/trace-context.ts'
import type { CancelSignal } from '../../lib/cancellation.js'
import type { Gateway } from '../gateway/gateway.js'
import type { ToolContext } from '../tools/tool.js'
import type { Toolbox } from '../tools/toolbox.js'
import type { RunFigures } from './run-figures.js'

/** A step as users read it. */
export interface StepSummary extends Omit<StepEntry, 'startedAt'> { startedAt: Date }

/** What is reserved for a run, and whether it is enough for its next step. */
export interface Reservation { reserved: number, isEnough: boolean }

export type LogLevel = 'info' | 'warn' | 'error'

/** What an agent needs from the run that executes it; `Attempt` implements it. */
export interface AgentContext {
  /** The number of the attempt. */
  readonly number: number
  readonly gateway: Pick<Gateway, 'complete'>
  /** The model for agents that name none. */
  readonly defaultModel: string
  /** Tried in order when the agent's own model keeps failing. */
  readonly fallbackModels: readonly string[]
  readonly rates: Rates | undefined
  /** What is counted of all runs of the process. */
  readonly figures: RunFigures
  /** The spans of the attempt; undefined where the run is not traced. */
  readonly spans?: RunSpans
  /** The trace that requests hand on, if one was handed to the run or it is traced. */
  readonly trace?: TraceContext
  /** Aborted when the run is to stop. */
  readonly signal: CancelSignal
  /** Passed to every tool call. */
  readonly tool: ToolContext
  /** Prepares the agent's functions. */
  openToolbox (agent: Agent): Promise<Toolbox>
  /**
   * Records a step that has ended, so that a later attempt replays it instead of executing it again.
   * @param credits what the run may cost by the end of its next step; 0 by default.
   * @returns what is reserved for the run, and whether that covers `credits`.
   */
  record (number: number, summary: StepSummary, record: StepRecord, credits?: number): Promise<Reservation>
  /** Rejects when the signal is aborted. */
  wait (ms: number): Promise<unknown>
  /** Emits an event to the run's readers. Returns its number. */
  emit (event: RunEvent): number
  /** Logs a line for operators; by default at `info`. */
  log (message: string, fields: Record<string, unknown>, level?: LogLevel): void
}

/** What an agent is run with. */
export interface AgentInput extends RunInput {
  /** What earlier attempts have done. */
  steps?: StoredStep[]
}
