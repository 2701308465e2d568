import type { AgentFunction } from '../../_shared/agent.ts'
import { answerConditionally } from '../../_shared/functions/conditional.ts'
import { transformMessage } from '../../_shared/functions/data-transform.ts'
import { configOf, hasParameters } from '../../_shared/functions/function-config.ts'
import { isFunctionType, reportUnknownTypes } from '../../_shared/functions/function-types.ts'
import { runTriggeredBy, toRunEvent, type Trigger, type TriggeredRun } from '../../_shared/functions/triggered.ts'
import { isForEveryMessage, makeWebhookCall, type WebhookCall, webhookId } from '../../_shared/functions/webhook.ts'
import type { FunctionResult, RunEvent } from '../../_shared/schemas.ts'
import { log } from '../http/log.ts'
import { parsePublicUrl } from './public-host.ts'

/** The run whose message triggers functions. */
interface Triggering extends TriggeredRun { readonly runId: string }

/** The functions that run in place. All others are the service's, but those of unknown types, which fail anywhere. */
const TRIGGERS: Readonly<Record<string, Trigger<Triggering, WebhookCall>>> = {
  conditional: answerConditionally,
  data_transform: transformMessage,
  webhook: {
    stage: 'after_answer',
    isAlwaysTriggered: fn => isForEveryMessage({ ...fn, config: configOf(fn) }),
    async prepare (fn, { values }, { runId, agentId }, index) {
      const call = makeWebhookCall({ ...fn, config: configOf(fn) }, values, agentId, await webhookId(runId, index, fn.name))
      parsePublicUrl(call.url)
      return call
    }
  }
}

/** What functions found, or answered, before the model is asked, with the events for the run's readers. */
export interface FunctionsOutcome {
  results: FunctionResult[]
  answer?: string
  webhooks: WebhookCall[]
  emitted: RunEvent[]
}

/** Whether this function runs all of an agent's functions. */
export function runsInPlace (functions: readonly AgentFunction[]): boolean {
  return functions.every(fn => (Object.hasOwn(TRIGGERS, fn.type) || !isFunctionType(fn.type)) && !hasParameters(fn))
}

/**
 * Runs the functions that the user's text triggers, as the platform always has: in lower case, and a webhook counts as a
 * result as soon as it is to be sent.
 * @throws the signal's reason once it is aborted; nothing else.
 */
export async function runFunctions (
  functions: readonly AgentFunction[], text: string, { runId, agentId, signal }: { runId: string, agentId: string, signal: AbortSignal }
): Promise<FunctionsOutcome> {
  const emitted: RunEvent[] = []
  const context: Triggering = {
    runId,
    agentId,
    signal,
    emit: event => { emitted.push(toRunEvent(event)) },
    log: (message, fields) => log('error', message, { ...fields, runId, agentId })
  }
  reportUnknownTypes(functions, agentId, context.log)
  const { results, answer, webhooks } = await runTriggeredBy(functions, text.toLowerCase(), context, fn => TRIGGERS[fn.type])
  const scheduled = webhooks.map(({ functionName }) => ({ functionName, functionType: 'webhook', success: true, data: { scheduled: true } }))
  return { results: [...results, ...scheduled], answer, webhooks, emitted }
}
