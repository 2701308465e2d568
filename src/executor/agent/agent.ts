import type { Agent, CachedAnswer } from '#shared/agent.ts'
import type { ModelRecord, StepRecord, ToolRecord } from '#shared/database/runs.ts'
import { errors } from '#shared/errors.ts'
import { DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE } from '#shared/gateway/defaults.ts'
import type { ModelMessage } from '#shared/messages.ts'
import { Bill, rateOf } from '#shared/price.ts'
import { buildMessages, lastUserText } from '#shared/prompt.ts'
import type { FunctionResult } from '#shared/schemas.ts'
import type { StepSpan } from '#shared/traces/step-span.ts'
import { estimatePrompt, NO_USAGE } from '#shared/usage.ts'
import type { ModelRequest } from '../gateway/gateway.js'
import { MAX_CALLS, toSendable } from '../gateway/tool-calls.js'
import { actsAfterAnswer } from '../tools/kinds.js'
import { EMPTY_TOOLBOX, type Toolbox } from '../tools/toolbox.js'
import type { AgentContext, AgentInput, Reservation } from './agent-context.js'
import { runModelStep, type Turn } from './model-step.js'
import type { Progress } from './progress.js'
import { StepLog, withSpans } from './step-record.js'
import { callTools } from './tool-step.js'

const DEFAULT_MAX_STEPS = 16
/** For a step that was recorded, and so paid for, by an earlier attempt. */
const ENOUGH: Reservation = { isEnough: true, reserved: 0 }

/**
 * Runs an agent: calls the model and the tools that it requests in turn, until the model requests none. What it emits goes to
 * `context`, what it costs to `progress`; nothing is settled here (`Attempt` settles the run).
 * @throws {ServiceError} whatever ended the run early, such as `gateway_…` or `insufficient_credits`.
 * @throws the signal's reason when it is aborted.
 */
export async function runAgent (input: AgentInput, progress: Progress, context: AgentContext): Promise<void> {
  progress.model = input.agent.model ?? context.defaultModel
  const steps = new StepLog(input.steps)
  // A cached answer runs no function except those that act after the answer.
  const agent = input.cached ? { ...input.agent, functions: input.agent.functions?.filter(actsAfterAnswer) } : input.agent
  const toolbox = await context.openToolbox(agent)
  if (toolbox === EMPTY_TOOLBOX) return produceAnswer(input, toolbox, steps, progress, context)
  try {
    await produceAnswer(input, toolbox, steps, progress, context)
    await toolbox.afterAnswer(lastUserText(input.messages), progress.response)
  } finally {
    // Closing may wait for MCP servers, and the run does not wait for that.
    toolbox.close().catch(err => context.log('tools not closed', { err }))
  }
}

/** Its last expression is the long call, returned without `await`: an answer may take an hour, and a suspended frame costs memory. */
async function produceAnswer (input: AgentInput, toolbox: Toolbox, steps: StepLog, progress: Progress, context: AgentContext): Promise<void> {
  if (input.cached) return emitCachedAnswer(input.cached, progress, context)
  const found = await runFunctions(input, toolbox, steps, context)
  if (found.answer !== undefined) return emitFunctionAnswer(found.answer, input.agent, progress, context)
  return runModelLoop(input, found.results, toolbox, steps, progress, context)
}

function emitCachedAnswer ({ response, finishReason, model }: CachedAnswer, progress: Progress, context: AgentContext): void {
  emitText(response, context)
  progress.finishReason = finishReason
  progress.model = model
}

/** Emits the answer of a function that replaces the model's. It costs the price of a run, without tokens. */
function emitFunctionAnswer (answer: string, agent: Agent, progress: Progress, context: AgentContext): void {
  progress.countUsage(NO_USAGE, rateOf(context.rates, agent.model ?? context.defaultModel), true)
  progress.finishReason = 'stop'
  emitText(answer, context)
}

function emitText (text: string, context: AgentContext): void {
  if (text) context.emit({ type: 'chunk', content: text })
}

/** Runs the functions that the last user message triggers, or replays their record. They run once per run, before the model. */
async function runFunctions (input: AgentInput, toolbox: Toolbox, steps: StepLog, context: AgentContext) {
  const recorded = steps.peek('functions')
  const startedAt = new Date()
  const step = recorded ? undefined : context.spans?.openStep('functions')
  const found = recorded ?? { kind: 'functions' as const, ...await toolbox.runTriggered(lastUserText(input.messages)) }
  context.signal.throwIfAborted()
  if (found.emitted.length === 0 && found.results.length === 0 && found.answer === undefined) {
    step?.drop()
    return found
  }
  const number = steps.take()
  if (recorded) context.spans?.keepRecorded(recorded.spans)
  const credits = found.answer === undefined ? creditsWithResults(input, found.results, context) : 0
  const { isEnough, reserved } = recorded ? ENOUGH : await context.record(number, { kind: 'tool', name: 'functions', startedAt }, withSpans(found, step?.end({ number })), credits)
  if (!isEnough) throw errors.insufficientCredits(credits, reserved)
  context.signal.throwIfAborted()
  for (const event of found.emitted) context.emit(event)
  return found
}

/** What the run may cost by the end of its first step, to whose prompt the results of functions belong. */
function creditsWithResults (input: AgentInput, found: FunctionResult[], { rates, defaultModel }: AgentContext): number {
  const { model, maxTokens } = input.agent
  return new Bill().creditsWith(rateOf(rates, model ?? defaultModel), estimatePrompt(promptOf(input, found)) + (maxTokens ?? DEFAULT_MAX_TOKENS))
}

function promptOf ({ agent, messages, functionResults = [] }: AgentInput, found: FunctionResult[]): ModelMessage[] {
  return buildMessages(agent, messages, [...functionResults, ...found])
}

/** Calls the model, executes the tools that it requests, and calls it again with their results. */
async function runModelLoop (
  input: AgentInput, found: FunctionResult[], toolbox: Toolbox, steps: StepLog, progress: Progress, context: AgentContext
): Promise<void> {
  const { agent } = input
  const maxSteps = agent.maxSteps ?? DEFAULT_MAX_STEPS
  const request: ModelRequest = {
    model: agent.model,
    messages: promptOf(input, found),
    temperature: agent.temperature ?? DEFAULT_TEMPERATURE,
    maxTokens: agent.maxTokens ?? DEFAULT_MAX_TOKENS,
    tools: toolbox.tools,
    forbidToolCalls: false,
    responseFormat: input.responseFormat
  }
  const conversation = new Conversation(request, progress, context)
  for (let turn = 1; ; turn++) {
    context.signal.throwIfAborted()
    if (toolbox.tools.length > 0) context.emit({ type: 'step', step: turn })
    // The last step must end with an answer, so it cannot call tools.
    const isLast = request.forbidToolCalls = turn >= maxSteps
    const recorded = steps.peek('model')
    const startedAt = Date.now()
    const step = recorded ? undefined : context.spans?.openStep('model', progress.bill.credits)
    const result = recorded ? replayTurn(recorded, progress, context) : await runModelStep(request, progress, context, step)
    const { content, toolCalls } = result
    if (toolCalls.length === 0 || isLast) {
      step?.end({ number: steps.next, credits: progress.bill.credits })
      return
    }
    // A replayed turn is recorded again: the earlier attempt may have ended before it learned whether the balance suffices.
    const { askedFor: model, extra } = result
    conversation.add({ role: 'assistant', content: content || null, tool_calls: toSendable(toolCalls), origin: { model, extra } })
    await recordTurn(steps.take(), result, new Date(startedAt), conversation.creditsFor(result), progress, context, step)
    const results = await callTools(toolCalls, toolbox.tools, steps, context, record => conversation.creditsFor(result, toMessage(record)))
    conversation.add(...toMessages(results, result))
  }
}

/** The growing conversation of a request, with the tokens that the next step has to pay for. */
class Conversation {
  #tokens: number
  /** Of results that are not part of the conversation yet. */
  #pending = 0

  constructor (private readonly request: ModelRequest, private readonly progress: Progress, private readonly context: AgentContext) {
    this.#tokens = estimatePrompt(request.messages)
  }

  add (...messages: ModelMessage[]): void {
    this.request.messages = [...this.request.messages, ...messages]
    this.#tokens += estimatePrompt(messages)
    this.#pending = 0
  }

  /** What the run may cost by the end of the step that follows a turn. @param result another message that the step will read. */
  creditsFor ({ askedFor }: Turn, ...results: ModelMessage[]): number {
    this.#pending += estimatePrompt(results)
    return this.progress.bill.creditsWith(rateOf(this.context.rates, askedFor), this.#tokens + this.#pending + this.request.maxTokens)
  }
}

/**
 * Records a turn that is followed by another one, and reserves credits for that one.
 * @param credits what the run may cost by its end.
 * @throws {ServiceError} `insufficient_credits` if the balance does not cover it.
 */
async function recordTurn (number: number, turn: Turn, startedAt: Date, credits: number, progress: Progress, context: AgentContext, step?: StepSpan): Promise<void> {
  const { content, toolCalls, hasMoreCalls, extra, finishReason, model, askedFor, usage, failed } = turn
  const record: StepRecord = {
    kind: 'model', content, toolCalls, ...(hasMoreCalls && { hasMoreCalls }), ...(extra && { extra }), finishReason, model, askedFor, usage, ...(failed && { failed })
  }
  const { isEnough, reserved } = await context.record(number, { kind: 'model', name: model, finishReason, usage, startedAt, credits: progress.bill.credits },
    withSpans(record, step?.end({ number, credits: progress.bill.credits })), credits)
  context.signal.throwIfAborted()
  if (!isEnough) throw errors.insufficientCredits(credits, reserved)
}

/** Emits the text of a recorded turn again, and adds its usage, and that of its tries that failed. */
function replayTurn (turn: ModelRecord & Pick<StepRecord, 'spans'>, progress: Progress, context: AgentContext): Turn {
  context.spans?.keepRecorded(turn.spans)
  emitText(turn.content, context)
  for (const { askedFor, usage, hasOutput } of [...turn.failed ?? [], { ...turn, hasOutput: true }]) progress.countUsage(usage, rateOf(context.rates, askedFor), hasOutput)
  progress.model = turn.model
  progress.finishReason = turn.finishReason
  return turn
}

/** Of calls that were not kept nothing can be answered, so the last result says that there were some. */
function toMessages (results: ToolRecord[], { hasMoreCalls }: Turn): ModelMessage[] {
  const messages = results.map(toMessage)
  const last = messages.at(-1)
  if (last && hasMoreCalls) last.content += `\n\n[Only the first ${MAX_CALLS} calls of this turn were made. Make the others again.]`
  return messages
}

function toMessage ({ id, result, error }: ToolRecord) {
  return { role: 'tool' as const, tool_call_id: id, content: result ?? `Error: ${error}` }
}
