import type { AgentFunction } from '#shared/agent.ts'
import type { FunctionResult } from '#shared/schemas.ts'
import { occursIn, wordsIn } from '../function-config.js'
import type { Log, RunsBeforeModel, SendsAfterAnswer, TriggerContext, TriggerInput } from '../function-kind.js'
import { kindOf } from '../kinds.js'
import { shorten } from '../result-text.js'
import { ToolError } from '../tool.js'
import type { WebhookCall } from '../webhooks/webhook-call.js'
import { hasParameters } from './parameters.js'

/** The call or the result of a triggered function, for the run's readers. The two events of a call have the same id. */
export type FunctionEvent =
  | { type: 'tool_call', id: string, name: string, functionType: string, arguments: { user_input: string } }
  | { type: 'tool_result', id: string, name: string, success: boolean, content: string }

export interface FunctionContext extends TriggerContext {
  emit? (event: FunctionEvent): void
  log: Log
}

/** The outcome of the functions that a message triggers. */
export interface TriggerOutcome {
  /** For the prompt; failed functions are among them. */
  results: FunctionResult[]
  /** Replaces the model's answer. */
  answer?: string
  /** To be sent after the answer. */
  webhooks: WebhookCall[]
}

/**
 * Runs the functions that a user's text triggers, one after the other. A function that fails has a failed result.
 * @throws the signal's reason once it is aborted; nothing else.
 */
export async function runTriggered (functions: readonly AgentFunction[], text: string, context: FunctionContext): Promise<TriggerOutcome> {
  const outcome: TriggerOutcome = { results: [], webhooks: [] }
  const input = { text, values: { user_input: text, data: text, content: text, agent_id: context.agentId } }
  for (const [index, fn] of functions.entries()) {
    const trigger = kindOf(fn)?.trigger
    if (!trigger || hasParameters(fn) || !isTriggered(fn, trigger, text)) continue
    if (trigger.stage === 'after_answer') await prepare(fn, trigger, index, input, outcome, context)
    else await run(fn, trigger, index, input, outcome, context)
  }
  return outcome
}

function isTriggered (fn: AgentFunction, trigger: RunsBeforeModel | SendsAfterAnswer, text: string): boolean {
  if (trigger.stage === 'after_answer' && trigger.isAlwaysTriggered(fn)) return true
  return occursIn(text, wordsIn(fn.triggerKeywords))
}

/** A webhook that can be sent has no result yet; one that never can has a failed result. */
async function prepare (
  fn: AgentFunction, trigger: SendsAfterAnswer, index: number, input: TriggerInput, outcome: TriggerOutcome, context: FunctionContext
): Promise<void> {
  const result = await attempt(fn, context, async () => {
    outcome.webhooks.push(trigger.prepare(fn, input, context, index))
  })
  if (!result.success) outcome.results.push(result)
}

async function run (
  fn: AgentFunction, trigger: RunsBeforeModel, index: number, input: TriggerInput, outcome: TriggerOutcome, context: FunctionContext
): Promise<void> {
  const call = { id: `fn_${index + 1}`, name: fn.name }
  context.emit?.({ type: 'tool_call', ...call, functionType: fn.type, arguments: { user_input: input.text } })
  const result = await attempt(fn, context, async () => trigger.run(fn, input, context))
  const content = shorten(result.error ?? result.data ?? '')
  context.emit?.({ type: 'tool_result', ...call, success: result.success, content })
  // A conditional without a response adds nothing to the prompt.
  if (result.success && result.data === undefined) return
  outcome.results.push(result.success ? { ...result, data: content } : result)
  // An answer is not shortened: readers receive all of it.
  if (trigger.replacesAnswer) outcome.answer ??= result.data
}

async function attempt (
  fn: AgentFunction, { signal, log }: FunctionContext, act: () => Promise<string | void>
): Promise<FunctionResult & { data?: string }> {
  const described = { functionName: fn.name, functionType: fn.type }
  try {
    const data = await act()
    return { ...described, success: true, ...(data === undefined ? {} : { data }) }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof ToolError) return { ...described, success: false, error: error.message }
    log('function failed', { functionType: fn.type, error: error instanceof Error ? error.name : 'unknown' })
    return { ...described, success: false, error: 'The function failed.' }
  }
}
