import type { AgentFunction } from '#shared/agent.ts'
import type { FunctionResult } from '#shared/schemas.ts'
import { configOf, occursIn, textIn, wordsIn } from '../function-config.js'
import type { Outbound } from '../outbound/outbound.js'
import { shorten, textOf } from '../result-text.js'
import type { Values } from '../template.js'
import { type ToolContext, ToolError } from '../tool.js'
import { idOf, makeWebhook, type WebhookCall } from '../webhooks/webhook-call.js'
import { callApi } from './api-call.js'
import { decide } from './conditional.js'
import { transform } from './data-transform.js'

/** What a function is doing: for the run's readers. The two of one call bear one id. */
export type FunctionEvent =
  | { type: 'tool_call', id: string, name: string, functionType: string, arguments: { user_input: string } }
  | { type: 'tool_result', id: string, name: string, success: boolean, content: string }

export interface FunctionContext extends ToolContext {
  readonly outbound: Outbound
  /** Tells the run's readers. */
  emit? (event: FunctionEvent): void
  /** Tells the operators. */
  log (message: string, fields: Record<string, unknown>): void
}

/** What the functions that a message triggered have brought. */
export interface Triggered {
  /** For the prompt, and for whom it concerns that a function failed. */
  results: FunctionResult[]
  /** Replaces the model's: that of the first conditional that has one. */
  answer?: string
  /** To go out after the answer. */
  webhooks: WebhookCall[]
}

/** Types that run without a model's asking for them. */
const TRIGGERED = new Set(['api_call', 'conditional', 'data_transform', 'webhook'])

/** Each costs a run time, and the prompt what it brings. */
const MAX_FUNCTIONS = 100

/** The functions that are considered: the first of them; one whose configuration is no object has an empty one. */
export function considered (functions: readonly AgentFunction[], log: FunctionContext['log']): AgentFunction[] {
  const left = functions.length - MAX_FUNCTIONS
  if (left > 0) log('functions left out', { count: left, reason: `an agent has ${MAX_FUNCTIONS} at the most` })
  return functions.slice(0, MAX_FUNCTIONS).map(fn => ({ ...fn, config: configOf(fn) }))
}

/** Whether a function is a tool for the model rather than triggered by keywords. */
export function isTool (fn: AgentFunction): boolean {
  const { parameters } = configOf(fn)
  return parameters != null && parameters !== ''
}

/**
 * Runs what a user's text triggers, one after the other. A function that fails has a failed result.
 * @param functions in their order.
 * @throws the signal's reason, when it is aborted; nothing else.
 */
export async function runTriggered (functions: readonly AgentFunction[], text: string, context: FunctionContext): Promise<Triggered> {
  const triggered: Triggered = { results: [], webhooks: [] }
  const input = { text, values: { user_input: text, data: text, content: text, agent_id: context.agentId } }
  for (const [place, fn] of functions.entries()) {
    if (isTool(fn) || !isTriggered(fn, text)) continue
    if (fn.type === 'webhook') await prepareWebhook(fn, place, input, triggered, context)
    else await run(fn, place, input, triggered, context)
  }
  return triggered
}

/** By a keyword; webhooks also by their event, of which what is not known counts as on_keyword. */
function isTriggered (fn: AgentFunction, text: string): boolean {
  const { type, triggerKeywords } = fn
  if (!TRIGGERED.has(type)) return false
  const event = textIn(configOf(fn), 'trigger_event').trim().toLowerCase()
  if (type === 'webhook' && ['on_message', 'on_response', 'always'].includes(event)) return true
  return occursIn(text, wordsIn(triggerKeywords))
}

interface Input { text: string, values: Values }

/** One that can be sent tells nobody anything before the answer; one that never can is a failed result. */
async function prepareWebhook (fn: AgentFunction, place: number, { values }: Input, triggered: Triggered, context: FunctionContext): Promise<void> {
  const result = await attempt(fn, context, async () => {
    triggered.webhooks.push(makeWebhook(fn, values, context, idOf(context, fn, place)))
  })
  if (!result.success) triggered.results.push(result)
}

async function run (fn: AgentFunction, place: number, input: Input, triggered: Triggered, context: FunctionContext): Promise<void> {
  const told = { id: `fn_${place + 1}`, name: fn.name }
  context.emit?.({ type: 'tool_call', ...told, functionType: fn.type, arguments: { user_input: input.text } })
  const result = await attempt(fn, context, () => perform(fn, input, context))
  const content = shorten(result.error ?? result.data ?? '')
  context.emit?.({ type: 'tool_result', ...told, success: result.success, content })
  // A conditional without an answer has nothing to tell the model either.
  if (result.success && result.data === undefined) return
  triggered.results.push(result.success ? { ...result, data: content } : result)
  // What takes the place of the model's answer is whole, and is kept once.
  if (fn.type === 'conditional') triggered.answer ??= result.data
}

async function perform (fn: AgentFunction, { text, values }: Input, context: FunctionContext): Promise<string | undefined> {
  const { type } = fn
  const config = configOf(fn)
  if (type === 'conditional') return decide(config, text, values)
  if (type === 'data_transform') return transform(config, text, values)
  const answer = await callApi(config, values, context.outbound, context.signal)
  if (answer.status < 200 || answer.status > 299) throw new ToolError(`${answer.host} answered with status ${answer.status}.`)
  return textOf(answer)
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
