import type { Agent, AgentFunction } from '#shared/agent.ts'
import { configOf, hasParameters } from '#shared/functions/function-config.ts'
import { reportUnknownTypes } from '#shared/functions/function-types.ts'
import { toRunEvent } from '#shared/functions/triggered.ts'
import type { FunctionResult, RunEvent } from '#shared/schemas.ts'
import { inTurn } from '#shared/bounds/turns.ts'
import type { FunctionDeps, Log, OpenContext, OpenedTools } from './function-kind.js'
import { functionTools } from './functions/function-tools.js'
import { runTriggered } from './functions/triggered.js'
import { actsAfterAnswer, KINDS } from './kinds.js'
import { ToolNames } from './tool-names.js'
import type { Tool, ToolContext } from './tool.js'

/** The outcome of the functions that ran before the model was asked. */
export interface TriggeredResults {
  /** For the system prompt. */
  results: FunctionResult[]
  /** Replaces the model's answer. */
  answer?: string
  /** The events for the run's readers. */
  emitted: RunEvent[]
}

/** All that an agent's functions do in one run. */
export interface Toolbox {
  /** The tools that are offered to the model. */
  readonly tools: readonly Tool[]
  /**
   * Runs the functions that the user's message triggers. A function that fails has a failed result.
   * @throws the signal's reason once it is aborted; nothing else.
   */
  runTriggered (userText: string): Promise<TriggeredResults>
  /** Sends the webhooks of the message and its answer; does not wait for their delivery. */
  afterAnswer (userText: string, response: string): Promise<void>
  close (): Promise<void>
}

/** The run that a toolbox belongs to. */
export interface ToolboxContext {
  readonly tool: ToolContext
  log: Log
}

/** The limit of OpenAI's models. */
const MAX_TOOLS = 128

export const EMPTY_TOOLBOX: Toolbox = {
  tools: [],
  runTriggered: async () => ({ results: [], emitted: [] }),
  async afterAnswer () {},
  async close () {}
}

/**
 * Opens the toolbox of a run. A server that cannot be used is logged, and its tools are missing.
 * @throws the signal's reason once it is aborted; nothing else.
 */
export async function openToolbox (deps: FunctionDeps, agent: Agent, context: ToolboxContext): Promise<Toolbox> {
  if (!agent.functions?.length) return EMPTY_TOOLBOX
  const { tool } = context
  const log: Log = (message, fields) => context.log(message, fields)
  // A configuration that is not an object counts as empty.
  const functions = agent.functions.map(fn => ({ ...fn, config: configOf(fn) }))
  reportUnknownTypes(functions, tool.agentId, log)
  const names = new ToolNames()
  const triggerContext = { ...tool, outbound: deps.outbound, log }
  const ofParameters = functionTools(functions, { ...deps, names, log })
  const opened = await openTools(functions, deps, { owner: { userId: tool.userId, runId: tool.runId }, names, signal: tool.signal, trace: tool.trace, log })
  return {
    tools: firstTools([...ofParameters, ...opened.tools], log),
    async runTriggered (userText) {
      const emitted: RunEvent[] = []
      const { results, answer } = await runTriggered(functions, userText, { ...triggerContext, emit: event => emitted.push(toRunEvent(event)) })
      return { results, answer, emitted }
    },
    // Prepares the webhooks again, so that a run that another process took over sends them as well.
    async afterAnswer (userText, response) {
      const { webhooks } = await runTriggered(functions.filter(fn => actsAfterAnswer(fn) && !hasParameters(fn)), userText, triggerContext)
      for (const webhook of webhooks) await inTurn(() => deps.webhooks.send(webhook, response))
    },
    close: () => opened.close()
  }
}

function firstTools (tools: Tool[], log: Log): Tool[] {
  const excess = tools.length - MAX_TOOLS
  if (excess > 0) log('tools left out', { count: excess, reason: `a model is offered ${MAX_TOOLS} at the most` })
  return tools.slice(0, MAX_TOOLS)
}

/** Opens the tools of each kind in turn, so that the names do not depend on which server answers first. */
async function openTools (functions: readonly AgentFunction[], deps: FunctionDeps, context: OpenContext): Promise<OpenedTools> {
  const opened: OpenedTools[] = []
  const close = async (): Promise<void> => { await Promise.all(opened.map(part => part.close())) }
  try {
    for (const [type, { open }] of Object.entries(KINDS)) {
      const ofType = functions.filter(fn => fn.type === type)
      if (open && ofType.length > 0) opened.push(await open(ofType, deps, context))
    }
    context.signal.throwIfAborted()
  } catch (error) {
    await close()
    throw error
  }
  return { tools: opened.flatMap(part => part.tools), close }
}
