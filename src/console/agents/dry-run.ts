import type { AgentFunction as ServiceFunction } from '#shared/agent.ts'
import { chooseResponse } from '#shared/functions/conditional.ts'
import { transform } from '#shared/functions/data-transform.ts'
import { hasParameters, templateIn, textIn, wordsIn } from '#shared/functions/function-config.ts'
import { fillForm, fillJson, fillText, fillUrl } from '#shared/functions/template.ts'
import { occursIn, searchedPartOf } from '#shared/functions/word-search.ts'

/** What a function would do: whether it runs, and what comes of it. Nothing is sent. */
export interface DryRun { runs: string, result?: string }

type Config = ServiceFunction['config']

/**
 * Tries a function on a message with the service's own code.
 * @param args of a tool's call.
 * @throws what the function would fail with.
 */
export function tryFunction (fn: ServiceFunction, message: string, args: Record<string, unknown>, agentId: string): DryRun {
  const { type, config, triggerKeywords } = fn
  if (type === 'mcp') return { runs: 'The model sees the tools of the server; the server is asked when a run begins.', result: textIn(config, 'url') }
  const isTool = hasParameters(fn)
  const words = wordsIn(triggerKeywords)
  const occurs = occursIn(searchedPartOf(message), words)
  const isAlways = type === 'webhook' && textIn(config, 'trigger_event') !== 'on_keyword'
  const text = String(args.user_input ?? message)
  const values = { user_input: text, data: text, content: text, agent_id: agentId, response: 'The answer of the agent', ...args }
  if (type === 'python') return { runs: 'It runs when the model calls it, with these arguments.', result: `${textIn(config, 'entrypoint')}(${JSON.stringify(args)})` }
  if (!isTool && !occurs && !isAlways) return { runs: words.length > 0 ? 'It does not run: none of its words occurs in the message.' : 'It never runs: it has no words that run it.' }
  return { runs: isTool ? 'It runs when the model calls it, with these arguments.' : isAlways ? 'It runs after each answer.' : 'It runs: one of its words occurs in the message.', result: resultOf(type, config, text, values, isTool ? args : undefined) }
}

function resultOf (type: string, config: Config, text: string, values: Record<string, unknown>, args: Record<string, unknown> | undefined): string {
  if (type === 'conditional') return chooseResponse(config, text, values) ?? 'The model answers.'
  if (type === 'data_transform') return transform(config, text, values)
  if (type === 'webhook') return requestText('POST', textIn(config, 'webhook_url'), {}, fillPayload(config, values))
  const method = textIn(config, 'method') || 'GET'
  const headers = headersOf(config)
  const template = templateIn(config, 'body_template')
  const takesBody = !/^(GET|HEAD)$/i.test(method.trim())
  const body = !takesBody ? undefined : template.trim() === '' ? args && JSON.stringify(args) : fillBody(template, headers, values)
  return requestText(method, fillUrl(textIn(config, 'url'), values), headers, body)
}

function fillBody (template: string, headers: Record<string, string>, values: Record<string, unknown>): string {
  const type = Object.entries(headers).find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? 'application/json'
  if (/[/+]json\b/i.test(type)) return fillJson(template, values)
  return /form-urlencoded/i.test(type) ? fillForm(template, values) : fillText(template, values)
}

function fillPayload (config: Config, values: Record<string, unknown>): string {
  const template = templateIn(config, 'payload_template')
  const { agent_id, content, response } = values
  return template.trim() === '' ? JSON.stringify({ agent_id, timestamp: new Date().toISOString(), message: content, response }) : fillJson(template, values)
}

/** @throws if the headers are no JSON object. */
function headersOf (config: Config): Record<string, string> {
  const given = config.headers_json
  if (given === undefined || given === '') return {}
  const headers: unknown = typeof given === 'string' ? JSON.parse(given) : given
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) throw new Error('The headers must be a JSON object.')
  return headers as Record<string, string>
}

function requestText (method: string, url: string, headers: Record<string, string>, body: string | undefined): string {
  if (!URL.canParse(url)) throw new Error('The address is none.')
  // A key in a header is nobody's business who looks over the shoulder.
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${/auth|key|token|secret/i.test(name) ? '…' : value}`)
  return [`${method.trim().toUpperCase()} ${url}`, ...lines, ...(body === undefined ? [] : ['', body])].join('\n')
}
