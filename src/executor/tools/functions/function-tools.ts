import type { AgentFunction } from '#shared/agent.ts'
import type { Outbound, OutboundAnswer } from '../outbound/outbound.js'
import { shorten, textOf } from '../result-text.js'
import type { Values } from '../template.js'
import type { ToolNames } from '../tool-names.js'
import { type Tool, type ToolContext, ToolError } from '../tool.js'
import { makeWebhook } from '../webhooks/webhook-call.js'
import type { Webhooks } from '../webhooks/webhooks.js'
import { callApi } from './api-call.js'
import { decide } from './conditional.js'
import { transform } from './data-transform.js'
import { isTool } from './triggered.js'

export interface FunctionToolsOptions {
  outbound: Outbound
  webhooks: Pick<Webhooks, 'send'>
  /** Names that are taken; those of these tools are added. */
  names: ToolNames
  /** Tells the operators. */
  log (message: string, fields: Record<string, unknown>): void
}

type Act = (fn: AgentFunction, input: Input, context: ToolContext) => string | Promise<string>

interface Parameters { type?: unknown, properties?: unknown }

interface Input { args: Record<string, unknown>, values: Values }

/** The functions that hold `parameters`, as tools. One whose parameters are no schema of an object is left out, and logged. */
export function functionTools (functions: readonly AgentFunction[], options: FunctionToolsOptions): Tool[] {
  const acts = actsOn(options)
  return functions.filter(isTool).flatMap(fn => {
    const act = Object.hasOwn(acts, fn.type) ? acts[fn.type] : undefined
    if (!act) return []
    const parameters = readParameters(fn.config.parameters)
    if (!parameters) {
      options.log('function left out', { functionType: fn.type, reason: 'its parameters are no JSON Schema of an object' })
      return []
    }
    return [{
      name: options.names.take(fn.name),
      description: fn.description?.trim() || fn.name,
      parameters,
      call: async (args: Record<string, unknown>, context: ToolContext) =>
        shorten(await act(fn, { args, values: valuesOf(args, parameters, context) }, context))
    }]
  })
}

function actsOn ({ outbound, webhooks }: FunctionToolsOptions): Record<string, Act> {
  return {
    api_call: async ({ config }, { args, values }, { signal }) =>
      describe(await callApi(config, values, outbound, signal, JSON.stringify(args))),
    conditional: ({ config }, { values }) => decide(config, asText(values.user_input), values) ?? 'It has no answer to this.',
    data_transform: ({ config }, { values }) => transform(config, asText(values.data), values),
    webhook: (fn, { values }, context) => {
      if (!webhooks.send(makeWebhook(fn, values, context), '')) throw new ToolError('The webhook could not be sent.')
      return 'The webhook is on its way.'
    }
  }
}

function describe (answer: OutboundAnswer): string {
  return `Status ${answer.status}\n${textOf(answer)}`
}

/** The schema of an object, given as it is or as its JSON; undefined: it is none. */
export function readParameters (given: unknown): Parameters | undefined {
  const schema = typeof given === 'string' ? parse(given) : given
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return undefined
  const { type = 'object' } = schema as Parameters
  return type === 'object' ? { ...schema, type } : undefined
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * What templates know: each argument by its name, one that the model left out as nothing; all together, as
 * `user_input`, `data` and `content`, unless there is an argument of the name, or one of the name `user_input`.
 */
function valuesOf (args: Record<string, unknown>, { properties }: Parameters, { agentId }: ToolContext): Values {
  const declared = Object.keys(properties !== null && typeof properties === 'object' ? properties : {})
  const all = Object.hasOwn(args, 'user_input') ? args.user_input : args
  return {
    response: '',
    user_input: all,
    data: all,
    content: all,
    ...Object.fromEntries(declared.map(name => [name, undefined])),
    ...args,
    agent_id: agentId
  }
}

function asText (value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '')
}
