import type { AgentFunction } from '#shared/agent.ts'
import { templateIn, textIn } from '../function-config.js'
import { readHeaders } from '../outbound/headers.js'
import type { Outbound, OutboundAnswer, OutboundRequest } from '../outbound/outbound.js'
import { fillForm, fillJson, fillText, fillUrl, type Values } from '../template.js'
import { ToolError } from '../tool.js'

/**
 * Makes the call that a function's configuration describes: {url, method, headers_json, body_template}.
 * @param defaultBody what is sent where there is no template, by a method that takes a body.
 * @throws {ToolError} The signal's reason, when it is aborted.
 */
export async function callApi (
  config: AgentFunction['config'], values: Values, outbound: Outbound, signal: AbortSignal, defaultBody?: string
): Promise<OutboundAnswer> {
  return outbound.request(makeApiRequest(config, values, defaultBody), signal)
}

/** The same call, not made yet. @throws {ToolError} */
export function makeApiRequest (config: AgentFunction['config'], values: Values, defaultBody?: string): OutboundRequest {
  const url = textIn(config, 'url')
  if (url.trim() === '') throw new ToolError('The function has no url.')
  const method = textIn(config, 'method') || 'GET'
  const headers = readHeaders(config.headers_json)
  const takesBody = !/^\s*(?:GET|HEAD)\s*$/i.test(method)
  const body = takesBody ? makeBody(templateIn(config, 'body_template'), headers, values) ?? defaultBody : undefined
  const type: Record<string, string> = body === undefined || typeOf(headers) ? {} : { 'content-type': 'application/json' }
  return { url: fillUrl(url, values), method, headers: { ...type, ...headers }, body }
}

/** By the content type that the function sets: JSON unless it says otherwise. */
function makeBody (template: string, headers: Record<string, string>, values: Values): string | undefined {
  if (template.trim() === '') return undefined
  const type = typeOf(headers) ?? 'application/json'
  if (/[/+]json\b/i.test(type)) return fillJson(template, values)
  return /form-urlencoded/i.test(type) ? fillForm(template, values) : fillText(template, values)
}

function typeOf (headers: Record<string, string>): string | undefined {
  return Object.entries(headers).find(([name]) => name.trim().toLowerCase() === 'content-type')?.[1]
}
