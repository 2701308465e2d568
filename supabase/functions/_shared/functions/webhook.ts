import { Webhook } from 'standardwebhooks'
import type { AgentFunction } from '../agent.ts'
import { templateIn, textIn } from './function-config.ts'
import { fillJson, InvalidJsonError, type TemplateValues } from './template.ts'
import { ToolError } from './tool-error.ts'

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
  /** The payload as JSON. @param response the agent's answer; empty if there is none. @throws {ToolError} if it is too large. */
  body (response: string): string
}

/** In bytes, by Standard Webhooks 1.0. */
const MIN_KEY = 24
const MAX_KEY = 64

/**
 * Makes the webhook of a function {webhook_url, trigger_event, payload_template, secret}.
 * @param values include `content` and `agent_id`.
 * @throws {ToolError} if it could never be sent.
 */
export function makeWebhookCall (fn: AgentFunction, values: TemplateValues, agentId: string, id: string): WebhookCall {
  const url = textIn(fn.config, 'webhook_url')
  if (url.trim() === '') throw new ToolError('The function has no webhook_url.')
  const secret = textIn(fn.config, 'secret').trim() || undefined
  if (secret) checkSecret(secret)
  const template = templateIn(fn.config, 'payload_template')
  const event = eventOf(fn)
  return {
    id,
    agentId,
    functionName: fn.name,
    url,
    secret,
    needsAnswer: event !== 'on_message' && event !== 'always',
    body: response => fillPayload(template, { ...values, response }) ?? JSON.stringify({
      agent_id: agentId, timestamp: new Date().toISOString(), message: values.content, response
    })
  }
}

/** Whether a function's webhook goes out for every message: each `trigger_event` but `on_keyword` does. */
export function isForEveryMessage (fn: AgentFunction): boolean {
  return eventOf(fn) !== 'on_keyword'
}

function eventOf ({ config }: AgentFunction): string {
  return textIn(config, 'trigger_event').trim().toLowerCase()
}

/** The payload that a template makes; undefined if it makes no JSON, or is blank. */
function fillPayload (template: string, values: TemplateValues): string | undefined {
  if (template.trim() === '') return undefined
  try {
    return fillJson(template, values)
  } catch (error) {
    if (error instanceof InvalidJsonError) return undefined
    throw error
  }
}

/** The id of a function's webhook in a run. Another attempt of the run makes the same id, so that receivers recognise the repetition. */
export async function webhookId (runId: string, index: number, functionName: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(`${runId}\n${index}\n${functionName}`))
  const base64 = btoa(String.fromCharCode(...new Uint8Array(digest)))
  return `msg_${base64.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')}`
}

/**
 * The headers of a webhook by Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` and `webhook-signature`.
 * @param secret `whsec_` and base64; without a secret the webhook is not signed.
 * @param timestamp in seconds.
 * @throws {ToolError} if the secret is not valid.
 */
export function webhookHeaders (id: string, timestamp: number, body: string, secret?: string): Record<string, string> {
  const headers = { 'content-type': 'application/json', 'webhook-id': id, 'webhook-timestamp': String(timestamp) }
  if (!secret) return headers
  checkSecret(secret)
  return { ...headers, 'webhook-signature': new Webhook(secret).sign(id, new Date(timestamp * 1000), body) }
}

/** Whether a text is a secret of the standard: `whsec_` and 24 to 64 bytes in base64. */
export function isSecret (text: string): boolean {
  const [, base64] = /^whsec_([A-Za-z\d+/]+={0,2})$/.exec(text) ?? []
  try {
    const { length } = atob(base64 ?? '')
    return length >= MIN_KEY && length <= MAX_KEY
  } catch {
    return false
  }
}

/** @throws {ToolError} if it is not a secret of the standard. */
export function checkSecret (secret: string): void {
  if (!isSecret(secret)) throw new ToolError('The function\'s secret must be whsec_ and 24 to 64 bytes in base64.')
}
