import type { ClaimedDelivery, OutputPlace } from '../database/functions/schedules.js'
import { configOf, templateIn, textIn } from '#shared/functions/function-config.ts'
import { makeApiRequest } from '../executor/tools/functions/api-call.js'
import { readHeaders } from '../executor/tools/outbound/headers.js'
import type { OutboundRequest } from '../executor/tools/outbound/outbound.js'
import { firstHop } from '../executor/tools/outbound/redirect.js'
import { fillJson, type TemplateValues } from '#shared/functions/template.ts'
import { ToolError } from '../executor/tools/tool.js'
import { makeWebhook, requestOf } from '../executor/tools/webhooks/webhook-call.js'
import { ScheduleFault } from './timing.js'

/** A result that is to be sent, with what the agent was asked as its content. */
export interface Output extends Omit<ClaimedDelivery, 'tries' | 'prompt' | 'timezone'> { content: string }

/** The default payload. */
const PAYLOAD = `{"type":"schedule.completed","timestamp":"{{completed_at}}","data":{"schedule_id":"{{schedule_id}}",
"agent_id":"{{agent_id}}","run_id":"{{run_id}}","scheduled_for":"{{scheduled_for}}","content":"{{content}}","response":"{{response}}"}}`

const EMPTY: Omit<Output, keyof OutputPlace> = {
  id: 'x', scheduleId: '', runId: '', agentId: '', userId: '', content: '', result: '', scheduledFor: '', completedAt: ''
}

export function isSent ({ action }: Pick<OutputPlace, 'action'>): boolean {
  return action === 'webhook' || action === 'api_call'
}

/** Checks that results can be sent. @throws {ScheduleFault | ToolError} with a sentence for the schedule's user. */
export function checkOutput ({ action, config }: OutputPlace): void {
  if (action === null || action === 'store') return
  if (!isSent({ action })) {
    throw new ScheduleFault(`The output action ${JSON.stringify(action.slice(0, 60))} is none of store, webhook and api_call.`)
  }
  firstHop(makeOutputRequest({ ...EMPTY, action, config }))
}

/** Makes the request that sends a result. @param secret signs webhooks without a secret of their own. @throws {ToolError} */
export function makeOutputRequest (output: Output, secret?: string): OutboundRequest {
  const config = configOf(output)
  const url = textIn(config, 'url') || textIn(config, 'webhook_url')
  if (url.trim() === '') throw new ToolError('output_config has no url.')
  const template = templateIn(config, 'body_template') || templateIn(config, 'payload_template')
  const values = valuesOf(output)
  return output.action === 'webhook'
    ? makeWebhookRequest(output, { webhook_url: url, payload_template: template.trim() || PAYLOAD, secret: config.secret }, values, secret)
    : makeApiRequest({
      url,
      method: textIn(config, 'method') || 'POST',
      headers_json: { 'idempotency-key': output.id, ...readHeaders(config.headers_json) },
      body_template: template
    }, values, fillJson(PAYLOAD, values))
}

function makeWebhookRequest (output: Output, config: Record<string, unknown>, values: TemplateValues, secret?: string): OutboundRequest {
  const fn = { name: 'schedule', type: 'webhook', triggerKeywords: [], config }
  const { runId, agentId, userId } = output
  // What makes no JSON is a fault of the schedule; a function would send its default instead.
  fillJson(textIn(config, 'payload_template'), values)
  const call = makeWebhook(fn, values, { runId, agentId, userId, signal: AbortSignal.abort() }, `msg_${output.id}`)
  return requestOf(call, call.body(output.result), secret)
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
