import type { AgentFunction } from '#shared/agent.ts'
import { hasParameters } from '#shared/functions/function-config.ts'
import { unknownType } from '#shared/functions/function-types.ts'
import type { FunctionDeps, FunctionKind, Log } from '../function-kind.js'
import { kindOf } from '../kinds.js'
import type { ToolNames } from '../tool-names.js'
import type { Tool } from '../tool.js'
import { type Parameters, readParameters, valuesOf } from './parameters.js'

export interface FunctionToolsOptions extends FunctionDeps {
  /** The names in use; each tool adds its own. */
  names: ToolNames
  log: Log
}

/**
 * The tools of functions that have parameters. A function whose parameters are not a schema of an object is left out and
 * logged; calls of one of an unknown type fail.
 */
export function functionTools (functions: readonly AgentFunction[], options: FunctionToolsOptions): Tool[] {
  return functions.filter(hasParameters).flatMap(fn => {
    const kind = kindOf(fn)
    const call = kind ? kind.call : failByType
    if (!call) return []
    const parameters = readParameters(fn.config.parameters)
    if (parameters) return makeTool(fn, call, parameters, options)
    options.log('function left out', { functionType: fn.type, reason: 'its parameters are no JSON Schema of an object' })
    return []
  })
}

function failByType (fn: AgentFunction): never {
  throw unknownType(fn)
}

function makeTool (fn: AgentFunction, call: NonNullable<FunctionKind['call']>, parameters: Parameters, options: FunctionToolsOptions): Tool {
  return {
    name: options.names.take(fn.name),
    description: fn.description?.trim() || fn.name,
    parameters,
    call: async (args, context) => call(fn, { args, values: valuesOf(args, parameters, context) }, options, context)
  }
}
