import type { AgentFunction } from '../agent.ts'
import { ToolError } from './tool-error.ts'

/** The types of functions. A function of any other type fails whenever it is to run. */
export const FUNCTION_TYPES = ['api_call', 'conditional', 'data_transform', 'webhook', 'python', 'mcp'] as const
export type FunctionType = typeof FUNCTION_TYPES[number]

/** UTF-16 units of an author's text that an error or a line of the log quotes. */
const MAX_QUOTED = 60
/** Lines about unknown types that one process writes, each about another function. */
const MAX_REPORTS = 1_000

export function isFunctionType (type: string): type is FunctionType {
  return (FUNCTION_TYPES as readonly string[]).includes(type)
}

/** The error of a function whose type is unknown, for the model and the run's readers. */
export function unknownType ({ type }: Pick<AgentFunction, 'type'>): ToolError {
  return new ToolError(`The function's type ${JSON.stringify(quote(type))} is none of ${FUNCTION_TYPES.join(', ')}.`)
}

const reported = new Set<string>()

/** Logs each function of an unknown type, once a process: the next run would say the same. */
export function reportUnknownTypes (functions: readonly AgentFunction[], agentId: string, log: (message: string, fields: Record<string, unknown>) => void): void {
  for (const fn of functions) {
    if (isFunctionType(fn.type)) continue
    const [functionName, functionType] = [fn.name, fn.type].map(quote)
    const key = `${agentId}\n${functionName}\n${functionType}`
    if (reported.has(key) || reported.size >= MAX_REPORTS) continue
    reported.add(key)
    log('function of an unknown type', { agentId, functionName, functionType, reason: unknownType(fn).message })
  }
}

function quote (text: string): string {
  return text.slice(0, MAX_QUOTED).toWellFormed()
}
