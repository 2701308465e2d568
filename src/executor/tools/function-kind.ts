import type { AgentFunction } from '#shared/agent.ts'
import type { PythonPool } from '../python/pool.js'
import type { Outbound } from './outbound/outbound.js'
import type { TemplateValues } from './template.js'
import type { ToolNames } from './tool-names.js'
import type { Tool, ToolContext } from './tool.js'
import type { WebhookCall } from './webhooks/webhook-call.js'
import type { Webhooks } from './webhooks/webhooks.js'

/** Writes a line to the service's log. */
export type Log = (message: string, fields: Record<string, unknown>) => void

/** How the functions of one type work. Each part is null if functions of the type do not have it. */
export interface FunctionKind {
  /** The reaction to a message of the user, unless the function has `parameters`. */
  readonly trigger: RunsBeforeModel | SendsAfterAnswer | null
  /**
   * Executes a call of the model. A function that has `parameters` is offered to the model as one tool.
   * @returns the result for the model.
   * @throws {ToolError} with a sentence for the model; the signal's reason once it is aborted.
   */
  readonly call: ((fn: AgentFunction, input: CallInput, deps: FunctionDeps, context: ToolContext) => string | Promise<string>) | null
  /**
   * Opens the tools that the agent's functions of this type offer, with or without `parameters`.
   * @throws the signal's reason once it is aborted; nothing else.
   */
  readonly open: ((functions: readonly AgentFunction[], deps: FunctionDeps, context: OpenContext) => Promise<OpenedTools>) | null
}

/** A function that runs before the model is asked. Readers of the run receive its call and its result as events. */
export interface RunsBeforeModel {
  readonly stage: 'before_model'
  /** Whether its result is the run's answer. The first function with such a result wins, and the model is not asked. */
  readonly replacesAnswer: boolean
  /**
   * @returns the result for the prompt; undefined if there is none.
   * @throws {ToolError} The signal's reason once it is aborted.
   */
  run (fn: AgentFunction, input: TriggerInput, context: TriggerContext): string | undefined | Promise<string | undefined>
}

/** A function that sends a webhook once there is an answer. */
export interface SendsAfterAnswer {
  readonly stage: 'after_answer'
  /** Whether every message triggers the function, even without one of its keywords. */
  isAlwaysTriggered (fn: AgentFunction): boolean
  /**
   * @param index the function's position, which is part of the webhook's id.
   * @throws {ToolError} if the webhook could never be sent.
   */
  prepare (fn: AgentFunction, input: TriggerInput, context: ToolContext, index: number): WebhookCall
}

/** The user's message: its text, and the values of templates. */
export interface TriggerInput {
  readonly text: string
  readonly values: TemplateValues
}

/** A call of the model: its arguments, and the values of templates. */
export interface CallInput {
  readonly args: Record<string, unknown>
  readonly values: TemplateValues
}

/** Shared by the functions of all runs. */
export interface FunctionDeps {
  readonly outbound: Outbound
  readonly webhooks: Pick<Webhooks, 'send'>
  readonly python: Pick<PythonPool, 'run'>
}

/** The run whose message triggers a function. */
export interface TriggerContext extends ToolContext {
  readonly outbound: Outbound
}

export interface OpenContext {
  /** The names in use; each opened tool adds its own. */
  readonly names: ToolNames
  readonly signal: AbortSignal
  readonly log: Log
}

export interface OpenedTools {
  readonly tools: readonly Tool[]
  /** Never rejects. */
  close (): Promise<void>
}
