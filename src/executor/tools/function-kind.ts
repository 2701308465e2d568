import type { AgentFunction } from '#shared/agent.ts'
import type { TemplateValues } from '#shared/functions/template.ts'
import type { Trigger, TriggeredRun } from '#shared/functions/triggered.ts'
import type { TraceContext } from '#shared/traces/trace-context.ts'
import type { PythonPool } from '../python/pool.js'
import type { Outbound } from './outbound/outbound.js'
import type { RequestOwner } from './outbound/permits.js'
import type { ToolNames } from './tool-names.js'
import type { Tool, ToolContext } from './tool.js'
import type { OutgoingWebhook } from './webhooks/webhook-call.js'
import type { Webhooks } from './webhooks/webhooks.js'

/** Writes a line to the service's log. */
export type Log = (message: string, fields: Record<string, unknown>) => void

/** How the functions of one type work. Each part is null if functions of the type do not have it. */
export interface FunctionKind {
  /** The reaction to a message of the user, unless the function has `parameters`. */
  readonly trigger: Trigger<FunctionContext, OutgoingWebhook> | null
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
export interface FunctionContext extends ToolContext, TriggeredRun {
  readonly outbound: Outbound
}

export interface OpenContext {
  /** The run that uses the tools. */
  readonly owner: RequestOwner
  /** The names in use; each opened tool adds its own. */
  readonly names: ToolNames
  readonly signal: AbortSignal
  /** The trace that requests to servers hand on. */
  readonly trace?: TraceContext
  readonly log: Log
}

export interface OpenedTools {
  readonly tools: readonly Tool[]
  /** Never rejects. */
  close (): Promise<void>
}
