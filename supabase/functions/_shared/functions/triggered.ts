import type { AgentFunction } from '../agent.ts'
import type { FunctionResult, RunEvent } from '../schemas.ts'
import { inTurn } from '../bounds/turns.ts'
import { hasParameters, wordsIn } from './function-config.ts'
import { isFunctionType, unknownType } from './function-types.ts'
import { shorten } from './result-text.ts'
import type { TemplateValues } from './template.ts'
import { ToolError } from './tool-error.ts'
import { findWords, searchedPartOf } from './word-search.ts'

/** The user's message: its text, and the values of templates. */
export interface TriggerInput {
  readonly text: string
  /** The words that occur in the text, of all that the functions look for. */
  readonly found: ReadonlySet<string>
  readonly values: TemplateValues
}

/** A function that runs before the model is asked. Readers of the run receive its call and its result as events. */
export interface RunsBeforeModel<Context> {
  readonly stage: 'before_model'
  /** Whether its result is the run's answer. The first function with such a result wins, and the model is not asked. */
  readonly replacesAnswer: boolean
  /** The words that `run` looks for in the message. */
  readonly words?: (fn: AgentFunction) => string[]
  /**
   * @returns the result for the prompt; undefined if there is none.
   * @throws {ToolError} The signal's reason once it is aborted.
   */
  run (fn: AgentFunction, input: TriggerInput, context: Context): string | undefined | Promise<string | undefined>
}

/** A function that sends a webhook. */
export interface SendsAfterAnswer<Context, Webhook> {
  readonly stage: 'after_answer'
  /** Whether every message triggers the function, even without one of its keywords. */
  isAlwaysTriggered (fn: AgentFunction): boolean
  /**
   * @param index the function's position, which is part of the webhook's id.
   * @throws {ToolError} if the webhook could never be sent.
   */
  prepare (fn: AgentFunction, input: TriggerInput, context: Context, index: number): Promise<Webhook>
}

export type Trigger<Context, Webhook> = RunsBeforeModel<Context> | SendsAfterAnswer<Context, Webhook>

/** The call or the result of a triggered function, for the run's readers. The two events of a call have the same id. */
export type FunctionEvent =
  | { type: 'tool_call', id: string, name: string, functionType: string, arguments: { user_input: string } }
  | { type: 'tool_result', id: string, name: string, success: boolean, content: string }

/** The run whose message triggers functions. */
export interface TriggeredRun {
  readonly agentId: string
  /** Aborted when the run is cancelled or its attempt is abandoned. */
  readonly signal: AbortSignal
  emit? (event: FunctionEvent): void
  log (message: string, fields: Record<string, unknown>): void
}

/** The outcome of the functions that a message triggers. */
export interface TriggerOutcome<Webhook> {
  /** For the prompt; failed functions are among them. */
  results: FunctionResult[]
  /** Replaces the model's answer. */
  answer?: string
  /** To be sent. */
  webhooks: Webhook[]
}

/** What one run of triggered functions shares. */
interface Work<Context, Webhook> { input: TriggerInput, outcome: TriggerOutcome<Webhook>, context: Context }

/**
 * Runs the functions that a user's text triggers, one after the other. A function that fails has a failed result, and so
 * has one of an unknown type.
 * @param triggerOf how a function reacts to a message; nothing if it does not.
 * @throws the signal's reason once it is aborted; nothing else.
 */
export async function runTriggeredBy<Context extends TriggeredRun, Webhook> (
  functions: readonly AgentFunction[], text: string, context: Context, triggerOf: (fn: AgentFunction) => Trigger<Context, Webhook> | null | undefined
): Promise<TriggerOutcome<Webhook>> {
  const outcome: TriggerOutcome<Webhook> = { results: [], webhooks: [] }
  const reactions = functions.flatMap((fn, index) => reactionOf(fn, isFunctionType(fn.type) ? triggerOf(fn) : triggerOfUnknown(fn), index))
  const found = await findWords(searchedPartOf(text), new Set(reactions.flatMap(({ words, ownWords }) => [...words, ...ownWords])))
  const input = { text, found, values: { user_input: text, data: text, content: text, agent_id: context.agentId } }
  const work = { input, outcome, context }
  for (const { fn, trigger, index, words } of reactions) {
    if (!isTriggered(fn, trigger, words, found)) continue
    if (trigger.stage === 'after_answer') await prepare(fn, trigger, index, work)
    else await run(fn, trigger, index, work)
  }
  return outcome
}

/** How a function of an unknown type reacts to its keywords. */
const FAILS_BY_TYPE: RunsBeforeModel<unknown> = {
  stage: 'before_model',
  replacesAnswer: false,
  run: fn => { throw unknownType(fn) }
}

/** A function with parameters waits for the model to call it, of whatever type it is. */
function triggerOfUnknown (fn: AgentFunction): RunsBeforeModel<unknown> | null {
  return hasParameters(fn) ? null : FAILS_BY_TYPE
}

/** How a function reacts to the message: if one of `words` occurs in it, and then by `ownWords`. */
function reactionOf<Context, Webhook> (fn: AgentFunction, trigger: Trigger<Context, Webhook> | null | undefined, index: number) {
  if (!trigger) return []
  const ownWords = trigger.stage === 'before_model' ? trigger.words?.(fn) ?? [] : []
  return [{ fn, trigger, index, words: wordsIn(fn.triggerKeywords), ownWords }]
}

function isTriggered<Context, Webhook> (fn: AgentFunction, trigger: Trigger<Context, Webhook>, words: string[], found: ReadonlySet<string>): boolean {
  if (trigger.stage === 'after_answer' && trigger.isAlwaysTriggered(fn)) return true
  return words.some(word => found.has(word))
}

/** A webhook that can be sent has no result yet; one that never can has a failed result. */
async function prepare<Context extends TriggeredRun, Webhook> (
  fn: AgentFunction, trigger: SendsAfterAnswer<Context, Webhook>, index: number, { input, outcome, context }: Work<Context, Webhook>
): Promise<void> {
  const result = await attempt(fn, context, async () => {
    outcome.webhooks.push(await inTurn(() => trigger.prepare(fn, input, context, index)))
  })
  if (!result.success) outcome.results.push(result)
}

async function run<Context extends TriggeredRun, Webhook> (
  fn: AgentFunction, trigger: RunsBeforeModel<Context>, index: number, { input, outcome, context }: Work<Context, Webhook>
): Promise<void> {
  const call = { id: `fn_${index + 1}`, name: fn.name }
  context.emit?.({ type: 'tool_call', ...call, functionType: fn.type, arguments: { user_input: shorten(input.text) } })
  const result = await attempt(fn, context, () => inTurn(() => trigger.run(fn, input, context)))
  const content = shorten(result.error ?? result.data ?? '')
  context.emit?.({ type: 'tool_result', ...call, success: result.success, content })
  // A conditional without a response adds nothing to the prompt.
  if (result.success && result.data === undefined) return
  outcome.results.push(result.success ? { ...result, data: content } : result)
  // An answer is not shortened: readers receive all of it.
  if (trigger.replacesAnswer) outcome.answer ??= result.data
}

async function attempt (
  fn: AgentFunction, { signal, log }: TriggeredRun, act: () => Promise<string | void>
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

/** A function's event as the run's readers receive it. */
export function toRunEvent (event: FunctionEvent): RunEvent {
  if (event.type === 'tool_call') {
    const { type, id, name, arguments: args } = event
    return { type, id, name, arguments: args }
  }
  const { type, id, name, success, content } = event
  return { type, id, name, ...(success ? { result: content } : { error: content }) }
}
