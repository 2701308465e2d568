import type { AgentFunction } from '#shared/agent.ts'
import { errors, ServiceError } from '#shared/errors.ts'
import { PythonError } from '../../python/job.js'
import type { PythonPool } from '../../python/pool.js'
import { configOf } from '#shared/functions/function-config.ts'
import type { FunctionKind } from '../function-kind.js'
import { type Tool, ToolError } from '../tool.js'
import { readParameters } from './parameters.js'

const NO_PARAMETERS = { type: 'object', properties: {} }
/** Seconds. */
const DEFAULT_TIMEOUT = 60
const MAX_TIMEOUT = 3600
/** UTF-16 units; a call with more output fails. */
const MAX_OUTPUT = 1024 * 1024

/** Code in Python {entrypoint, parameters, timeout_seconds}, offered to the model even without parameters. */
export const python: FunctionKind = {
  trigger: null,
  call: null,
  async open (functions, deps, { names }) {
    const tools = functions.map(fn => pythonTool(fn, deps.python)).map(tool => ({ ...tool, name: names.take(tool.name) }))
    return { tools, async close () {} }
  }
}

/**
 * The tool of a function in Python. It calls `config.entrypoint` as `function(args)` or `function(args, context)`; the
 * result is the text that the function returns or yields, or its JSON.
 */
export function pythonTool (fn: AgentFunction, pool: Pick<PythonPool, 'run'>): Tool {
  const { entrypoint, parameters, timeout_seconds: timeout } = configOf(fn)
  const seconds = readTimeout(timeout)
  return {
    name: fn.name.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, 64) || 'python',
    description: fn.description ?? `Calls ${fn.name}.`,
    parameters: readParameters(parameters) ?? NO_PARAMETERS,
    async call (args, { runId, userId, signal }) {
      if (typeof entrypoint !== 'string') throw new ToolError('The function has no entrypoint.')
      let output = ''
      try {
        await pool.run(userId, {
          runId,
          entrypoint,
          input: args,
          signal,
          maxOutput: MAX_OUTPUT,
          timeoutMs: seconds * 1000,
          onText: text => { output += text },
          onProgress () {}
        })
      } catch (error) {
        if (error instanceof PythonError) throw new ToolError(error.message)
        if (error instanceof ServiceError && error.code === errors.pythonUnavailable.code) throw new ToolError('This server cannot run Python.')
        throw error
      }
      return output
    }
  }
}

function readTimeout (seconds: unknown): number {
  return typeof seconds === 'number' && seconds > 0 ? Math.min(seconds, MAX_TIMEOUT) : DEFAULT_TIMEOUT
}
