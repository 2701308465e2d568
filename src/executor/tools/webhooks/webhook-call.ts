import { createHash, randomUUID } from 'node:crypto'
import type { AgentFunction } from '#shared/agent.ts'
import { templateIn, textIn } from '../function-config.js'
import type { OutboundRequest } from '../outbound/outbound.js'
import { firstHop } from '../outbound/redirect.js'
import { fillJson, type TemplateValues } from '../template.js'
import { type ToolContext, ToolError } from '../tool.js'
import { checkSecret, webhookHeaders } from './signature.js'

/** A webhook that is to go out. */
export interface WebhookCall {
  /** What a receiver tells repetitions by; the same each time a run's function sends it. */
  readonly id: string
  readonly agentId: string
  readonly functionName: string
  readonly url: string
  readonly secret?: string
  /** Whether it only goes out where there is an answer. */
  readonly needsAnswer: boolean
  /** The payload, as JSON. @param response the agent's answer. */
  body (response: string): string
}

/**
 * The webhook of a function {webhook_url, trigger_event, payload_template, secret}.
 * @param values `content` and `agent_id` among them.
 * @throws {ToolError} where it could never go out.
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
  // A template that makes no JSON makes none with any answer.
  call.body('')
  return call
}

/** A try of a webhook, signed with the time of it. @param secret for what has none of its own. */
export function requestOf (call: WebhookCall, body: string, secret?: string): OutboundRequest {
  const headers = webhookHeaders(call.id, Math.floor(Date.now() / 1000), body, call.secret ?? secret)
  return { url: call.url, method: 'POST', headers, body, followRedirects: false }
}

/** The same for the same function of the same run, so that a run that another process does over sends nothing new. */
export function idOf (context: ToolContext, fn: AgentFunction, place: number): string {
  return `msg_${createHash('sha256').update(`${context.runId}\n${place}\n${fn.name}`).digest('base64url')}`
}

function randomId (): string {
  return `msg_${randomUUID()}`
}
