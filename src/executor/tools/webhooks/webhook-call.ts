import { randomUUID } from 'node:crypto'
import type { AgentFunction } from '#shared/agent.ts'
import type { TemplateValues } from '#shared/functions/template.ts'
import { makeWebhookCall, type WebhookCall, webhookHeaders } from '#shared/functions/webhook.ts'
import type { TraceContext } from '#shared/traces/trace-context.ts'
import type { OutboundRequest } from '../outbound/outbound.js'
import { firstHop } from '../outbound/redirect.js'
import type { ToolContext } from '../tool.js'

/** A webhook with the user whose run sends it. */
export interface OutgoingWebhook extends WebhookCall {
  readonly userId: string
  /** The trace of the run. */
  readonly trace?: TraceContext
}

/**
 * Makes the webhook of a function {webhook_url, trigger_event, payload_template, secret}.
 * @param values include `content` and `agent_id`.
 * @throws {ToolError} if it could never be sent.
 */
export function makeWebhook (fn: AgentFunction, values: TemplateValues, { agentId, userId, trace }: ToolContext, id = `msg_${randomUUID()}`): OutgoingWebhook {
  const call = makeWebhookCall(fn, values, agentId, id)
  firstHop({ url: call.url })
  return { ...call, userId, trace }
}

/** The request of one try, signed with the current time. @param secret signs webhooks without a secret of their own. */
export function requestOf (call: WebhookCall & Pick<OutgoingWebhook, 'trace'>, body: string, secret?: string): OutboundRequest {
  const headers = webhookHeaders(call.id, Math.floor(Date.now() / 1000), body, call.secret ?? secret)
  // All of an agent's webhooks count as those of one user.
  return { url: call.url, method: 'POST', headers, body, followRedirects: false, owner: { userId: call.agentId }, trace: call.trace }
}
