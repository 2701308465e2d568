import type { Agent, CachedAnswer } from '#shared/agent.ts'
import type { ModelRecord, ToolRecord } from '#shared/database/runs.ts'
import { errors } from '#shared/errors.ts'
import type { ModelMessage } from '#shared/messages.ts'
import { rateOf } from '#shared/price.ts'
import { buildMessages, lastUserText } from '#shared/prompt.ts'
import type { FunctionResult } from '#shared/schemas.ts'
import { NO_USAGE } from '#shared/usage.ts'
import type { ModelRequest } from '../gateway/gateway.js'
import { toSendable } from '../gateway/tool-calls.js'
import { EMPTY_TOOLBOX, type Toolbox } from '../tools/toolbox.js'
import type { AgentContext, AgentInput } from './agent-context.js'
import { modelStep, type Turn } from './model-step.js'
import type { Progress } from './progress.js'
import { StepLog } from './step-record.js'
import { callTools } from './tool-step.js'

const DEFAULT_TEMPERATURE = 0.7
const DEFAULT_MAX_TOKENS = 1000
const DEFAULT_MAX_STEPS = 16

/** Runs an agent to its end: model and tools in turn, until the model has no more to ask. Throws what ended it before. */
export async function runAgent (input: AgentInput, progress: Progress, context: AgentContext): Promise<void> {
  progress.model = input.agent.model ?? context.defaultModel
  const steps = new StepLog(input.steps)
  // An answer that is kept needs nothing but what waits for it.
  const agent = input.cached ? { ...input.agent, functions: input.agent.functions?.filter(({ type }) => type === 'webhook') } : input.agent
  const toolbox = await context.openToolbox(agent)
  if (toolbox === EMPTY_TOOLBOX) return answer(input, toolbox, steps, progress, context)
  try {
    await answer(input, toolbox, steps, progress, context)
    await toolbox.afterAnswer(lastUserText(input.messages), progress.response)
  } finally {
    // Nobody waits for a server that does not take its leave.
    toolbox.close().catch(err => context.log('tools not closed', { err }))
  }
}

/** Ends with the call that lasts: an answer may take an hour, and what waits for it is memory. */
async function answer (input: AgentInput, toolbox: Toolbox, steps: StepLog, progress: Progress, context: AgentContext): Promise<void> {
  if (input.cached) return tellCached(input.cached, progress, context)
  const found = await runFunctions(input, toolbox, steps, context)
  if (found.answer !== undefined) return answerAs(found.answer, input.agent, progress, context)
  return converse(input, found.results, toolbox, steps, progress, context)
}

function tellCached ({ response, finishReason, model }: CachedAnswer, progress: Progress, context: AgentContext): void {
  say(response, context)
  progress.finishReason = finishReason
  progress.model = model
}

/** A function's answer in place of the model's costs what a run costs. */
function answerAs (answer: string, agent: Agent, progress: Progress, context: AgentContext): void {
  progress.use(NO_USAGE, rateOf(context.rates, agent.model ?? context.defaultModel), true)
  progress.finishReason = 'stop'
  say(answer, context)
}

function say (text: string, context: AgentContext): void {
  if (text) context.emit({ type: 'chunk', content: text })
}

/** The functions that the user's words trigger, before the model is asked; once, whatever attempt does them. */
async function runFunctions ({ messages }: AgentInput, toolbox: Toolbox, steps: StepLog, context: AgentContext) {
  const done = steps.peek('functions')
  const startedAt = new Date()
  const found = done ?? { kind: 'functions' as const, ...await toolbox.runTriggered(lastUserText(messages)) }
  context.signal.throwIfAborted()
  if (found.emitted.length === 0 && found.results.length === 0 && found.answer === undefined) return found
  const number = steps.take()
  if (!done) await context.record(number, { kind: 'tool', name: 'functions', startedAt }, found)
  context.signal.throwIfAborted()
  for (const event of found.emitted) context.emit(event)
  return found
}

/** Asks the model, does what it asks for, and asks again with what came of it. */
async function converse (
  input: AgentInput, found: FunctionResult[], toolbox: Toolbox, steps: StepLog, progress: Progress, context: AgentContext
): Promise<void> {
  const { agent } = input
  const maxSteps = agent.maxSteps ?? DEFAULT_MAX_STEPS
  const request: ModelRequest = {
    model: agent.model,
    messages: buildMessages(agent, input.messages, [...input.functionResults ?? [], ...found]),
    temperature: agent.temperature ?? DEFAULT_TEMPERATURE,
    maxTokens: agent.maxTokens ?? DEFAULT_MAX_TOKENS,
    tools: toolbox.tools,
    mayNotCall: false,
    responseFormat: input.responseFormat
  }
  for (let turn = 1; ; turn++) {
    context.signal.throwIfAborted()
    if (toolbox.tools.length > 0) context.emit({ type: 'step', step: turn })
    // In its last step the model has to come to an end: it is told of the tools, and not to call them.
    const isLast = request.mayNotCall = turn >= maxSteps
    const done = steps.peek('model')
    const startedAt = Date.now()
    const said = done ? retell(done, progress, context) : await modelStep(request, progress, context)
    const { content, toolCalls } = said
    if (toolCalls.length === 0 || isLast) return
    // One that was recorded is recorded again for the sake of its price: whether that can be paid may never have been heard.
    await recordTurn(steps.take(), said, new Date(startedAt), request.maxTokens, progress, context)
    const results = await callTools(toolCalls, toolbox.tools, steps, context)
    request.messages = [...request.messages, { role: 'assistant', content: content || null, tool_calls: toSendable(toolCalls) }, ...results.map(toMessage)]
  }
}

/** A turn after which the run goes on; not where the user's credits do not allow it to. */
async function recordTurn (number: number, turn: Turn, startedAt: Date, maxTokens: number, progress: Progress, context: AgentContext): Promise<void> {
  const { content, toolCalls, finishReason, model, askedFor, usage } = turn
  const credits = progress.bill.creditsWith(rateOf(context.rates, askedFor), maxTokens)
  const isAffordable = await context.record(number, { kind: 'model', name: model, finishReason, usage, startedAt, credits: progress.bill.credits },
    { kind: 'model', content, toolCalls, finishReason, model, askedFor, usage }, credits)
  context.signal.throwIfAborted()
  if (!isAffordable) throw errors.insufficientCredits()
}

/** A turn of an earlier attempt: what it said is said again, and what it used was used. */
function retell (turn: ModelRecord, progress: Progress, context: AgentContext): Turn {
  say(turn.content, context)
  progress.use(turn.usage, rateOf(context.rates, turn.askedFor), true)
  progress.model = turn.model
  progress.finishReason = turn.finishReason
  return turn
}

function toMessage ({ id, result, error }: ToolRecord): ModelMessage {
  return { role: 'tool', tool_call_id: id, content: result ?? `Error: ${error}` }
}
