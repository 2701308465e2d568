import { ServiceError } from '../errors.js'
import type { RunEvent } from '../schemas.js'
import type { AgentContext } from './agent-context.js'
import type { StepLog, ToolRecord } from './step-record.js'
import type { ToolCall } from './tool-calls.js'
import { checkArguments } from './tools/validate-arguments.js'
import { ToolError, type Tool } from './tools/tool.js'

/** More of a tool's answer than a model should read. */
const MAX_RESULT = 64 * 1024

/** Does what a model asked for, all of it at once, and tells of each; what an earlier attempt has done is told again and not done. */
export function callTools (calls: ToolCall[], tools: readonly Tool[], steps: StepLog, context: AgentContext): Promise<ToolRecord[]> {
  const numbered = calls.map(call => ({ call, number: steps.number() }))
  return Promise.all(numbered.map(async ({ call, number }) => {
    const done = steps.takeTool(call.id)
    context.emit(describeCall(call))
    const record = done ?? await callAndRecord(call, number, tools, context)
    context.emit(describeResult(record))
    return record
  }))
}

/** Recorded before it is told: what a reader has seen is never done again. */
async function callAndRecord (call: ToolCall, number: number, tools: readonly Tool[], context: AgentContext): Promise<ToolRecord> {
  const { id, function: { name } } = call
  const startedAt = new Date()
  const record: ToolRecord = { kind: 'tool', id, name, ...await callTool(call, tools, context) }
  context.log('tool', { tool: name, ms: Date.now() - startedAt.getTime(), failed: record.error !== undefined })
  await context.record(number, { kind: 'tool', name, startedAt }, record)
  return record
}

/** A tool's failure is the model's to deal with, and no end of the run. */
async function callTool ({ function: { name, arguments: json } }: ToolCall, tools: readonly Tool[], context: AgentContext): Promise<Pick<ToolRecord, 'result' | 'error'>> {
  const tool = tools.find(tool => tool.name === name)
  if (!tool) return { error: `There is no tool ${name}. There are: ${tools.map(tool => tool.name).join(', ') || 'none'}.` }
  const checked = checkArguments(tool, json)
  if ('problem' in checked) return { error: checked.problem }
  try {
    return { result: shorten(await tool.call(checked.args, context.tool)) }
  } catch (error) {
    context.signal.throwIfAborted()
    if (error instanceof ServiceError) throw error
    if (!(error instanceof ToolError)) context.log('tool broke', { tool: name, err: error })
    return { error: shorten(error instanceof ToolError ? error.message : 'The tool failed unexpectedly.') }
  }
}

function shorten (text: string): string {
  return text.length <= MAX_RESULT ? text : `${text.slice(0, MAX_RESULT)}… (cut off after ${MAX_RESULT} characters)`
}

function describeCall ({ id, function: { name, arguments: json } }: ToolCall): RunEvent {
  return { type: 'tool_call', id, name, arguments: parse(json) }
}

function describeResult ({ id, name, result, error }: ToolRecord): RunEvent {
  return { type: 'tool_result', id, name, ...(error === undefined ? { result } : { error }) }
}

function parse (json: string): unknown {
  try {
    return JSON.parse(json || '{}')
  } catch {
    return json
  }
}
