import type { ToolRecord } from '#shared/database/runs.ts'
import type { ToolCall } from '#shared/messages.ts'
import { errors } from '#shared/errors.ts'
import { refuseDeepNesting } from '#shared/nesting.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { toStorable } from '#shared/text.ts'
import { shorten } from '#shared/functions/result-text.ts'
import { inTurn } from '#shared/bounds/turns.ts'
import { withoutWarning } from '../../lib/cancellation.js'
import { type Tool, type ToolContext, ToolError } from '../tools/tool.js'
import { ArgumentChecker, type TurnCheck } from '../tools/arguments/argument-checker.js'
import type { AgentContext } from './agent-context.js'
import { type StepLog, withSpans } from './step-record.js'

/** One for the process: its thread starts with the first call. */
const checker = new ArgumentChecker()

/** What the calls of a turn share. */
interface TurnOfCalls {
  tools: readonly Tool[]
  toolContext: ToolContext
  context: AgentContext
  turn: TurnCheck
  creditsAfter: (record: ToolRecord) => number
}

/**
 * Executes the tool calls of a turn concurrently and emits an event for each call and each result. Calls that an earlier
 * attempt has recorded are replayed. If a call cannot be recorded, the others are aborted, and this rejects when all have ended.
 * @param creditsAfter what the run may cost by the end of its next step, which reads this result too; called for each once.
 * @returns the records in the order of the calls.
 * @throws {ServiceError} `insufficient_credits` if the balance does not cover the next step.
 */
export async function callTools (
  calls: ToolCall[], tools: readonly Tool[], steps: StepLog, context: AgentContext, creditsAfter: (record: ToolRecord) => number
): Promise<ToolRecord[]> {
  const stop = new AbortController()
  const tool = { ...context.tool, signal: withoutWarning(AbortSignal.any([context.tool.signal, stop.signal])) }
  const shared = { tools, toolContext: tool, context, turn: checker.forTurn(tool.userId), creditsAfter }
  const numbered = calls.map(call => ({ call, number: steps.take() }))
  const settled = await Promise.allSettled(numbered.map(async ({ call, number }) => {
    await inTurn(() => context.emit(describeCall(call)))
    const recorded = steps.peek('tool', number)
    if (recorded) {
      context.spans?.keepRecorded(recorded.spans)
      creditsAfter(recorded)
    }
    const record = recorded ?? await callAndRecord(call, number, shared)
    // Nothing more is emitted after the run was stopped.
    tool.signal.throwIfAborted()
    context.emit(describeResult(record))
    return record
  }).map(outcome => outcome.catch(error => {
    stop.abort(error)
    throw error
  })))
  context.signal.throwIfAborted()
  tool.signal.throwIfAborted()
  return settled.flatMap(outcome => outcome.status === 'fulfilled' ? outcome.value : [])
}

/** The record precedes the event, so that a result which a reader has seen is never computed again. */
async function callAndRecord (call: ToolCall, number: number, shared: TurnOfCalls): Promise<ToolRecord> {
  const { context, creditsAfter } = shared
  const { id, function: { name } } = call
  const startedAt = new Date()
  const step = context.spans?.openStep('tool')
  const span = step?.openTool(call, shared.tools.some(tool => tool.name === name))
  const record: ToolRecord = { kind: 'tool', id, name, ...await callTool(call, span ? { ...shared, toolContext: { ...shared.toolContext, trace: span.context } } : shared) }
  span?.end(record)
  context.figures.noteTool(record.error !== undefined)
  context.log('tool', { tool: name, ms: Date.now() - startedAt.getTime(), failed: record.error !== undefined })
  const credits = creditsAfter(record)
  const { isEnough, reserved } = await context.record(number, { kind: 'tool', name, startedAt }, withSpans(record, step?.end({ number })), credits)
  if (!isEnough) throw errors.insufficientCredits(credits, reserved)
  return record
}

/** Calls a tool. Its failure becomes a sentence for the model and does not end the run. */
async function callTool ({ function: { name, arguments: json } }: ToolCall, { tools, toolContext, context, turn }: TurnOfCalls): Promise<Pick<ToolRecord, 'result' | 'error'>> {
  const tool = tools.find(tool => tool.name === name)
  if (!tool) return { error: toResult(`There is no tool ${name}. There are: ${tools.map(tool => tool.name).join(', ') || 'none'}.`) }
  try {
    const checked = await turn.check(tool, json)
    if ('problem' in checked) return { error: toResult(checked.problem) }
    if (checked.isUnchecked) context.log('arguments not checked', { tool: name, reason: 'the schema cannot be used' })
    toolContext.signal.throwIfAborted()
    return { result: toResult(await tool.call(checked.args, toolContext)) }
  } catch (error) {
    toolContext.signal.throwIfAborted()
    if (!(error instanceof ToolError)) context.log('tool broke', { tool: name, err: error })
    return { error: toResult(error instanceof ToolError ? error.message : 'The tool failed unexpectedly.') }
  }
}

/** The text as the database stores it, so that a later attempt emits the same. */
function toResult (text: string): string {
  return toStorable(shorten(text))
}

function describeCall ({ id, function: { name, arguments: json } }: ToolCall): RunEvent {
  return { type: 'tool_call', id, name, arguments: parse(json) }
}

function describeResult ({ id, name, result, error }: ToolRecord): RunEvent {
  return { type: 'tool_result', id, name, ...(error === undefined ? { result } : { error }) }
}

/** Parses arguments for readers; text that is not JSON, or is nested too deeply, is returned as it is. */
function parse (json: string): unknown {
  try {
    const value = JSON.parse(json || '{}')
    refuseDeepNesting(value)
    return value
  } catch {
    return json
  }
}
