import type { ToolRecord } from '#shared/database/runs.ts'
import type { ToolCall } from '#shared/messages.ts'
import { refuseDeepNesting } from '#shared/nesting.ts'
import type { RunEvent } from '#shared/schemas.ts'
import { toStorable } from '#shared/text.ts'
import { type Tool, type ToolContext, ToolError } from '../tools/tool.js'
import { checkArguments } from '../tools/validate-arguments.js'
import type { AgentContext } from './agent-context.js'
import type { StepLog } from './step-record.js'

/** More of a tool's answer than a model should read. */
const MAX_RESULT = 64 * 1024

/**
 * Does what a model asked for, all of it at once, and tells of each; what an earlier attempt has done is told again and
 * not done. Where one cannot go on, the others are stopped, and it ends when all of them have.
 */
export async function callTools (calls: ToolCall[], tools: readonly Tool[], steps: StepLog, context: AgentContext): Promise<ToolRecord[]> {
  const stop = new AbortController()
  const tool = { ...context.tool, signal: AbortSignal.any([context.tool.signal, stop.signal]) }
  const numbered = calls.map(call => ({ call, number: steps.take() }))
  const settled = await Promise.allSettled(numbered.map(async ({ call, number }) => {
    context.emit(describeCall(call))
    const record = steps.peek('tool', number) ?? await callAndRecord(call, number, tools, tool, context)
    // Of a run that has been stopped meanwhile nothing more is told.
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

/** Recorded before it is told: what a reader has seen is never done again. */
async function callAndRecord (call: ToolCall, number: number, tools: readonly Tool[], toolContext: ToolContext, context: AgentContext): Promise<ToolRecord> {
  const { id, function: { name } } = call
  const startedAt = new Date()
  const record: ToolRecord = { kind: 'tool', id, name, ...await callTool(call, tools, toolContext, context) }
  context.log('tool', { tool: name, ms: Date.now() - startedAt.getTime(), failed: record.error !== undefined })
  await context.record(number, { kind: 'tool', name, startedAt }, record)
  return record
}

/** A tool's failure is the model's to deal with, and no end of the run. */
async function callTool ({ function: { name, arguments: json } }: ToolCall, tools: readonly Tool[], toolContext: ToolContext, context: AgentContext): Promise<Pick<ToolRecord, 'result' | 'error'>> {
  const tool = tools.find(tool => tool.name === name)
  if (!tool) return { error: shorten(`There is no tool ${name}. There are: ${tools.map(tool => tool.name).join(', ') || 'none'}.`) }
  try {
    const checked = checkArguments(tool, json)
    if ('problem' in checked) return { error: shorten(checked.problem) }
    return { result: shorten(await tool.call(checked.args, toolContext)) }
  } catch (error) {
    toolContext.signal.throwIfAborted()
    if (!(error instanceof ToolError)) context.log('tool broke', { tool: name, err: error })
    return { error: shorten(error instanceof ToolError ? error.message : 'The tool failed unexpectedly.') }
  }
}

/** As the database keeps it, so that what is told is what is told again. */
function shorten (text: string): string {
  return toStorable(text.length <= MAX_RESULT ? text : `${text.slice(0, MAX_RESULT)}… (cut off after ${MAX_RESULT} characters)`)
}

function describeCall ({ id, function: { name, arguments: json } }: ToolCall): RunEvent {
  return { type: 'tool_call', id, name, arguments: parse(json) }
}

function describeResult ({ id, name, result, error }: ToolRecord): RunEvent {
  return { type: 'tool_result', id, name, ...(error === undefined ? { result } : { error }) }
}

/** As they are where they cannot be read, or go deeper than anybody could write them down. */
function parse (json: string): unknown {
  try {
    const value = JSON.parse(json || '{}')
    refuseDeepNesting(value)
    return value
  } catch {
    return json
  }
}
