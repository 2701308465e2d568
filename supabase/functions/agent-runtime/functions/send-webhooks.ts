import { ToolError } from '../../_shared/functions/tool-error.ts'
import { type WebhookCall, webhookHeaders } from '../../_shared/functions/webhook.ts'
import type { PrivateHost } from '../../_shared/http/addresses.ts'
import { type TraceContext, traceHeaders } from '../../_shared/traces/trace-context.ts'
import { describe, log } from '../http/log.ts'
import { parsePublicUrl, refusePrivateHost } from './public-host.ts'

export interface WebhookOptions {
  /** Signs webhooks without a secret of their own. */
  secret?: string
  privateHosts: readonly PrivateHost[]
  /** When this function has to end, in milliseconds since 1970: later tries are not made. */
  deadline: number
  /** The trace of the run. */
  trace?: TraceContext
}

/** Milliseconds before each try. */
const PAUSES = [0, 5_000, 30_000]
/** Milliseconds for one try. */
const TIMEOUT = 10_000

/** Sends webhooks, each until it arrives, with a few tries. Resolves when all have arrived or been given up; never rejects. */
export async function sendWebhooks (webhooks: readonly WebhookCall[], response: string, options: WebhookOptions): Promise<void> {
  await Promise.all(webhooks.map(call => deliver(call, response, options)))
}

async function deliver (call: WebhookCall, response: string, options: WebhookOptions): Promise<void> {
  const { id, agentId, url } = call
  const fields = { webhookId: id, agentId, host: new URL(url.trim()).host }
  let reason = 'no time was left'
  for (const [index, pause] of PAUSES.entries()) {
    if (Date.now() + pause + TIMEOUT > options.deadline && index > 0) break
    if (pause > 0) await new Promise(resolve => setTimeout(resolve, pause))
    const outcome = await attempt(call, response, options)
    if (outcome === undefined) return log('info', 'webhook delivered', { ...fields, tries: index + 1 })
    reason = outcome.reason
    if (outcome.isFinal) break
  }
  log('error', 'webhook not delivered', { ...fields, reason })
}

/** One try. Returns why it failed, and whether another would not help; undefined if it arrived. */
async function attempt (call: WebhookCall, response: string, options: WebhookOptions): Promise<{ reason: string, isFinal: boolean } | undefined> {
  try {
    const url = parsePublicUrl(call.url)
    await refusePrivateHost(url, options.privateHosts)
    const body = call.body(response)
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'user-agent': 'jeesi-railway-backend', ...webhookHeaders(call.id, Math.floor(Date.now() / 1000), body, call.secret ?? options.secret), ...traceHeaders(options.trace) },
      body,
      // A redirect could lead to where webhooks may not go, and by the standard it is a failure.
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT)
    })
    await answer.body?.cancel()
    return answer.ok ? undefined : { reason: `status ${answer.status}`, isFinal: answer.status === 410 }
  } catch (error) {
    if (error instanceof ToolError) return { reason: error.message, isFinal: true }
    return { reason: describe(error)?.split(':')[0] ?? 'failed', isFinal: false }
  }
}
