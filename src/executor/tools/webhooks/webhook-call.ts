import { createHash, randomUUID } from 'node:crypto'
import type { AgentFunction } from '#shared/agent.ts'
import { templateIn, textIn } from '../function-config.js'
import type { OutboundRequest } from '../outbound/outbound.js'
import { firstHop } from '../outbound/redirect.js'
import { fillJson, type TemplateValues } from '../template.js'
import { type ToolContext, ToolError } from '../tool.js'
import { checkSecret, webhookHeaders } from './signature.js'

/** A webhook to be sent. */
export interface WebhookCall {
  /** Identifies repetitions for the receiver: the same each time that a run's function sends it. */
  readonly id: string
  readonly agentId: string
  readonly functionName: string
  readonly url: string
  readonly secret?: string
  /** Whether it is sent only if there is an answer. */
  readonly needsAnswer: boolean
  /** The payload as JSON. @param response the agent's answer. @throws {ToolError} */
  body (response: string): string
}

/**
 * Makes the webhook of a function {webhook_url, trigger_event, payload_template, secret}.
 * @param values include `content` and `agent_id`.
 * @throws {ToolError} if it could never be sent.
 */
export function makeWebhook (fn: AgentFunction, values: TemplateValues, context: ToolContext, id: string = randomId()): WebhookCall {
  const url = textIn(fn.config, 'webhook_url')
  if (url.trim() === '') throw new ToolError('The function has no webhook_url.')
  firstHop({ url })
  const secret = textIn(fn.config, 'secret').trim() || undefined
  if (secret) checkSecret(secret)
  const template = templateIn(fn.config, 'payload_template')
  const event = textIn(fn.config, 'trigger_event').trim().toLowerCase()
  const call: WebhookCall = {
    id,
    agentId: context.agentId,
    functionName: fn.name,
    url,
    secret,
    needsAnswer: event !== 'on_message' && event !== 'always',
    body: response => template.trim() === ''
      ? JSON.stringify({
        type: 'agent.response',
        timestamp: new Date().toISOString(),
        data: { agent_id: context.agentId, run_id: context.runId, content: values.content, response }
      })
      : fillJson(template, { ...values, response })
  }
  // If the template does not make JSON with an empty answer, it does with none.
  call.body('')
  return call
}

/** The request of one try, signed with the current time. @param secret signs webhooks without a secret of their own. */
export function requestOf (call: WebhookCall, body: string, secret?: string): OutboundRequest {
  const headers = webhookHeaders(call.id, Math.floor(Date.now() / 1000), body, call.secret ?? secret)
  return { url: call.url, method: 'POST', headers, body, followRedirects: false }
}

/** The id of a function's webhook in a run. Another attempt of the run makes the same id, so that receivers recognise the repetition. */
export function idOf (context: ToolContext, fn: AgentFunction, index: number): string {
  return `msg_${createHash('sha256').update(`${context.runId}\n${index}\n${fn.name}`).digest('base64url')}`
}

function randomId (): string {
  return `msg_${randomUUID()}`
}
