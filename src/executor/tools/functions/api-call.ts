import type { AgentFunction } from '#shared/agent.ts'
import { configOf, templateIn, textIn } from '#shared/functions/function-config.ts'
import type { FunctionKind } from '../function-kind.js'
import { readHeaders } from '../outbound/headers.js'
import type { OutboundRequest } from '../outbound/outbound.js'
import { textOf } from '../result-text.js'
import { fillForm, fillJson, fillText, fillUrl, type TemplateValues } from '#shared/functions/template.ts'
import { ToolError } from '../tool.js'

/** An HTTP request {url, method, headers_json, body_template}. A model also reads responses that are errors. */
export const apiCall: FunctionKind = {
  trigger: {
    stage: 'before_model',
    replacesAnswer: false,
    async run (fn, { values }, { outbound, signal, userId, runId, trace }) {
      const answer = await outbound.request({ ...makeApiRequest(configOf(fn), values), owner: { userId, runId }, trace }, signal)
      if (answer.status < 200 || answer.status > 299) throw new ToolError(`${answer.host} answered with status ${answer.status}.`)
      return textOf(answer)
    }
  },
  async call ({ config }, { args, values }, { outbound }, { signal, userId, runId, trace }) {
    const answer = await outbound.request({ ...makeApiRequest(config, values, JSON.stringify(args)), owner: { userId, runId }, trace }, signal)
    return `Status ${answer.status}\n${textOf(answer)}`
  },
  open: null
}

/**
 * The request of a configuration {url, method, headers_json, body_template}.
 * @param defaultBody is sent if there is no template and the method takes a body.
 * @throws {ToolError} if the configuration is not a request that can be sent.
 */
export function makeApiRequest (config: AgentFunction['config'], values: TemplateValues, defaultBody?: string): OutboundRequest {
  const url = textIn(config, 'url')
  if (url.trim() === '') throw new ToolError('The function has no url.')
  const method = textIn(config, 'method') || 'GET'
  const headers = readHeaders(config.headers_json)
  const takesBody = !/^\s*(?:GET|HEAD)\s*$/i.test(method)
  const body = takesBody ? makeBody(templateIn(config, 'body_template'), headers, values) ?? defaultBody : undefined
  const type: Record<string, string> = body === undefined || typeOf(headers) ? {} : { 'content-type': 'application/json' }
  return { url: fillUrl(url, values), method, headers: { ...type, ...headers }, body }
}

/** Fills in the template by the content type in the function's headers; without one, as JSON. */
function makeBody (template: string, headers: Record<string, string>, values: TemplateValues): string | undefined {
  if (template.trim() === '') return undefined
  const type = typeOf(headers) ?? 'application/json'
  if (/[/+]json\b/i.test(type)) return fillJson(template, values)
  return /form-urlencoded/i.test(type) ? fillForm(template, values) : fillText(template, values)
}

function typeOf (headers: Record<string, string>): string | undefined {
  return Object.entries(headers).find(([name]) => name.trim().toLowerCase() === 'content-type')?.[1]
}
