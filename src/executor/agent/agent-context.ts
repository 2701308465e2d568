import type { FunctionResult, Message, ResponseFormat, RunEvent, Usage } from '#shared/schemas.ts'
import type { CancelSignal } from '../../lib/cancellation.js'
import type { EventLog } from '../events/event-log.js'
import type { Gateway } from '../gateway/gateway.js'
import { Bill, type Rate, type Rates } from '#shared/price.ts'
import type { Agent } from '#shared/prompt.ts'
import type { DoneStep, StepRecord } from './step-record.js'
import type { Toolbox } from '../tools/toolbox.js'
import type { ToolContext } from '../tools/tool.js'
import { addUsage, NO_USAGE } from '#shared/usage.ts'

/** What users read of a step. */
export interface StepSummary {
  kind: 'model' | 'tool'
  name: string
  finishReason?: string | null
  usage?: Usage
  startedAt: Date
  /** What the run has cost so far. */
  credits?: number
}

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

/** An answer that this agent gave to the same question before. */
export interface CachedAnswer { response: string, finishReason: string | null, model: string | null }

export interface AgentInput {
  agent: Agent
  messages: Message[]
  functionResults?: FunctionResult[]
  responseFormat?: ResponseFormat
  rates?: Rates
  cached?: CachedAnswer | null
  /** What earlier attempts have done. */
  steps?: DoneStep[]
}

/** What an agent has brought forth so far; it grows while the agent runs, and holds whatever ends it. */
export class Progress {
  model: string | null = null
  finishReason: string | null = null
  usage: Usage = NO_USAGE
  /** Whether anything at all came of the run, be it text that a retry has taken back. */
  output = false
  readonly bill = new Bill()

  /** @param log holds what the run has said: a text that takes minutes to come is kept once. */
  constructor (private readonly log: Pick<EventLog, 'textAfter'>, private readonly runId: string) {}

  get response (): string { return this.textAfter() }

  /** The text after an event; all of it unless told otherwise. */
  textAfter (after?: number): string { return this.log.textAfter(this.runId, after) }

  /** Notes what a try of a model used, and with it what that costs. */
  use (usage: Usage, rate: Rate, isOutput: boolean): void {
    this.usage = addUsage(this.usage, usage)
    if (!isOutput) return
    this.output = true
    this.bill.add(rate, usage)
  }
}
