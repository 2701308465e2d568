import type { AgentFunction } from '#shared/agent.ts'
import { hasParameters } from '#shared/functions/function-config.ts'
import { runTriggeredBy, type TriggerOutcome } from '#shared/functions/triggered.ts'
import type { OutgoingWebhook } from '../webhooks/webhook-call.js'
import type { FunctionContext } from '../function-kind.js'
import { kindOf } from '../kinds.js'

/**
 * Runs the functions that a user's text triggers, one after the other. A function that fails has a failed result.
 * @throws the signal's reason once it is aborted; nothing else.
 */
export function runTriggered (functions: readonly AgentFunction[], text: string, context: FunctionContext): Promise<TriggerOutcome<OutgoingWebhook>> {
  return runTriggeredBy(functions, text, context, fn => hasParameters(fn) ? null : kindOf(fn)?.trigger)
}
