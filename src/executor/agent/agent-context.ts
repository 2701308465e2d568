import type { Agent } from '#shared/agent.ts'
import type { DoneStep, RunInput, StepEntry, StepRecord } from '#shared/database/runs.ts'
import type { Rates } from '#shared/price.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { CancelSignal } from '../../lib/cancellation.js'
import type { Gateway } from '../gateway/gateway.js'
import type { ToolContext } from '../tools/tool.js'
import type { Toolbox } from '../tools/toolbox.js'

/** A step as users read it. */
export interface StepSummary extends Omit<StepEntry, 'startedAt'> { startedAt: Date }

/** What a run needs to know of the world around it. */
export interface AgentContext {
  readonly gateway: Pick<Gateway, 'complete'>
  /** What the gateway takes where the agent names no model. */
  readonly defaultModel: string
  /** Tried in turn where the agent's own model keeps failing. */
  readonly fallbackModels: readonly string[]
  readonly rates: Rates | undefined
  readonly signal: CancelSignal
  /** What tools are told of the run. */
  readonly tool: ToolContext
  /** What the agent's functions can do. */
  openToolbox (agent: Agent): Promise<Toolbox>
  /**
   * Writes down a step that has ended, so that it is never done again.
   * @param credits what the run may cost by the end of its next step.
   * @returns whether the user's balance allows that.
   */
  record (number: number, summary: StepSummary, record: StepRecord, credits?: number): Promise<boolean>
  /** Waits so many milliseconds; rejects when the signal is aborted. */
  wait (ms: number): Promise<unknown>
  /** Tells the run's readers. Returns the event's number. */
  emit (event: RunEvent): number
  /** Tells the operators. */
  log (message: string, fields: Record<string, unknown>): void
}

/** What an agent is run with. */
export interface AgentInput extends RunInput {
  /** What earlier attempts have done. */
  steps?: DoneStep[]
}
