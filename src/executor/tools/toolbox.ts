import type { Agent, AgentFunction } from '#shared/agent.ts'
import type { FunctionResult, RunEvent } from '#shared/schemas.ts'
import type { PythonPool } from '../python/pool.js'
import { functionTools } from './functions/function-tools.js'
import { pythonTool } from './functions/python.js'
import { considered, type FunctionEvent, isTool, runTriggered } from './functions/triggered.js'
import { openMcpTools } from './mcp/tools.js'
import type { Outbound } from './outbound/outbound.js'
import { ToolNames } from './tool-names.js'
import type { Tool, ToolContext } from './tool.js'
import type { Webhooks } from './webhooks/webhooks.js'

type Log = (message: string, fields: Record<string, unknown>) => void

/** What functions did before the model was asked. */
export interface Triggered {
  /** For the system prompt. */
  results: FunctionResult[]
  /** Takes the place of the model's answer. */
  answer?: string
  /** What readers are told of it. */
  emitted: RunEvent[]
}

/** All that an agent's functions can do in one run. */
export interface Toolbox {
  /** What is offered to the model. */
  readonly tools: readonly Tool[]
  /** Runs the functions that the user's message triggers. A function that fails has a failed result. */
  runTriggered (userText: string): Promise<Triggered>
  /** Sends what is to be sent once there is an answer; does not wait for it. */
  afterAnswer (userText: string, response: string): Promise<void>
  close (): Promise<void>
}

/** What is known of the run whose toolbox it is. */
export interface ToolboxContext {
  readonly tool: ToolContext
  log: Log
}

/** What the toolboxes of all runs share. */
export interface ToolboxDeps {
  outbound: Outbound
  webhooks: Webhooks
  python: Pick<PythonPool, 'run'>
}

/** More of them OpenAI's models refuse. */
const MAX_TOOLS = 128

export const EMPTY_TOOLBOX: Toolbox = {
  tools: [],
  runTriggered: async () => ({ results: [], emitted: [] }),
  async afterAnswer () {},
  async close () {}
}

/**
 * What an agent's functions can do for a run. Servers that cannot be reached cost their tools, and a line in the log.
 * @throws the signal's reason, when it is aborted; nothing else.
 */
export async function openToolbox (workshop: ToolboxDeps, agent: Agent, context: ToolboxContext): Promise<Toolbox> {
  if (!agent.functions?.length) return EMPTY_TOOLBOX
  const log: Log = (message, fields) => context.log(message, fields)
  const functions = considered(agent.functions, log)
  const { outbound, webhooks } = workshop
  const { tool } = context
  const names = new ToolNames()
  const world = { ...tool, outbound, log }
  const own = functionTools(functions, { outbound, webhooks, names, log })
  const code = functions.filter(fn => fn.type === 'python').map(fn => renamed(pythonTool(fn, workshop.python), names))
  const remote = await openMcpTools(functions, { outbound, names, signal: tool.signal, log })
  return {
    tools: offered([...own, ...code, ...remote.tools], log),
    async runTriggered (userText) {
      const told: RunEvent[] = []
      const { results, answer } = await runTriggered(functions, userText, { ...world, emit: event => told.push(toRunEvent(event)) })
      return { results, answer, emitted: told }
    },
    // Their payloads are made anew here, so that a run that another process has taken over sends them as well.
    async afterAnswer (userText, response) {
      const { webhooks: calls } = await runTriggered(functions.filter(isWebhook), userText, world)
      for (const call of calls) webhooks.send(call, response)
    },
    close: () => remote.close()
  }
}

function offered (tools: Tool[], log: Log): Tool[] {
  const left = tools.length - MAX_TOOLS
  if (left > 0) log('tools left out', { count: left, reason: `a model is offered ${MAX_TOOLS} at the most` })
  return tools.slice(0, MAX_TOOLS)
}

function isWebhook (fn: AgentFunction): boolean {
  return fn.type === 'webhook' && !isTool(fn)
}

function renamed (tool: Tool, names: ToolNames): Tool {
  return { ...tool, name: names.take(tool.name) }
}

function toRunEvent (event: FunctionEvent): RunEvent {
  if (event.type === 'tool_call') {
    const { type, id, name, arguments: args } = event
    return { type, id, name, arguments: args }
  }
  const { type, id, name, success, content } = event
  return { type, id, name, ...(success ? { result: content } : { error: content }) }
}
