import type { ClaimedDelivery, OutputPlace } from '../database/functions/schedules.js'
import { configOf, templateIn, textIn } from '../executor/tools/function-config.js'
import { makeApiRequest } from '../executor/tools/functions/api-call.js'
import { readHeaders } from '../executor/tools/outbound/headers.js'
import type { OutboundRequest } from '../executor/tools/outbound/outbound.js'
import { firstHop } from '../executor/tools/outbound/redirect.js'
import type { TemplateValues } from '../executor/tools/template.js'
import { checkSecret, webhookHeaders } from '../executor/tools/webhooks/signature.js'
import { ScheduleFault, zoneOf } from './timing.js'

/** A result that is to be sent, with what the agent was asked as its content. */
export interface Output extends Omit<ClaimedDelivery, 'tries' | 'prompt'> { content: string }

type Config = ReturnType<typeof configOf>

const EMPTY: Omit<Output, keyof OutputPlace> = {
  id: 'x', scheduleId: '', runId: '', agentId: '', agentName: '', userId: '', content: '', result: '', scheduledFor: '', completedAt: '', timezone: null
}

export function isSent ({ action, config }: OutputPlace): boolean {
  return (action === 'webhook' || action === 'api_call') && urlIn(configOf({ config })).trim() !== ''
}

/**
 * Checks that results can be sent. A schedule without a URL keeps them, as the platform's runner has it.
 * @throws {ScheduleFault | ToolError} with a sentence for the schedule's user.
 */
export function checkOutput ({ action, config }: OutputPlace): void {
  if (action !== null && !['store', 'webhook', 'api_call'].includes(action)) {
    throw new ScheduleFault(`The output action ${JSON.stringify(action.slice(0, 60))} is none of store, webhook and api_call.`)
  }
  if (isSent({ action, config })) firstHop(makeOutputRequest({ ...EMPTY, action, config }))
}

/** Makes the request that sends a result. @param secret signs webhooks without a secret of their own. @throws {ToolError | ScheduleFault} */
export function makeOutputRequest (output: Output, secret?: string): OutboundRequest {
  const config = configOf(output)
  const isWebhook = output.action === 'webhook'
  const request = makeApiRequest({
    url: urlIn(config),
    method: textIn(config, 'method') || 'POST',
    headers_json: { ...isWebhook ? {} : { 'idempotency-key': output.id }, ...headersIn(config) },
    body_template: templateIn(config, 'body_template') || templateIn(config, 'payload_template')
  }, valuesOf(output), JSON.stringify(isWebhook ? webhookBody(output, config) : apiBody(output, config)))
  return isWebhook ? sign(request, output, textIn(config, 'secret').trim() || secret) : request
}

/** The headers of the page, and those of agents' functions, which win. */
function headersIn ({ headers, headers_json: json }: Config): Record<string, string> {
  // The page writes what it parses, so an empty list is as empty as an object.
  const isEmpty = headers === '' || (Array.isArray(headers) && headers.length === 0)
  return { ...readHeaders(isEmpty ? {} : headers, 'output_config.headers'), ...readHeaders(json, 'output_config.headers_json') }
}

function urlIn (config: Config): string {
  return textIn(config, 'url') || textIn(config, 'webhook_url')
}

/** The body of the platform's runner. */
function webhookBody ({ agentId, agentName, result, completedAt }: Output, config: Config): object {
  return { agent_id: agentId, agent_name: agentName, content: result, generated_at: completedAt, ...objectIn(config, 'extra_data') }
}

/** The body of the platform's runner, which content management systems take. */
function apiBody (output: Output, config: Config): object {
  return {
    title: textIn(config, 'title_template').replace('{date}', () => dateOf(output)) || 'Generated Content',
    content: output.result,
    status: textIn(config, 'publish_status') || 'draft',
    ...objectIn(config, 'extra_fields')
  }
}

/** The date as the platform's runner writes it, but of the schedule's time zone. */
function dateOf ({ completedAt, timezone }: Output): string {
  return completedAt === '' ? '' : new Date(completedAt).toLocaleDateString('en-US', { timeZone: zoneOf({ timezone }) })
}

function objectIn (config: Config, name: string): object {
  return configOf({ config: config[name] })
}

/** A webhook has the headers of Standard Webhooks, so that its receiver recognises repetitions. @throws {ToolError} */
function sign (request: OutboundRequest, { id }: Output, secret: string | undefined): OutboundRequest {
  if (secret) checkSecret(secret)
  const signed = webhookHeaders(`msg_${id}`, Math.floor(Date.now() / 1000), request.body ?? '', secret)
  return { ...request, headers: { ...signed, ...request.headers } }
}

function valuesOf ({ content, result, agentId, scheduleId, runId, scheduledFor, completedAt }: Output): TemplateValues {
  return {
    content,
    user_input: content,
    response: result,
    agent_id: agentId,
    schedule_id: scheduleId,
    run_id: runId,
    scheduled_for: scheduledFor,
    completed_at: completedAt
  }
}
