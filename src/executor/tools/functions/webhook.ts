import { configOf } from '#shared/functions/function-config.ts'
import { isForEveryMessage, webhookId } from '#shared/functions/webhook.ts'
import type { FunctionKind } from '../function-kind.js'
import { ToolError } from '../tool.js'
import { makeWebhook } from '../webhooks/webhook-call.js'

/** A webhook {webhook_url, trigger_event, payload_template, secret}. */
export const webhook: FunctionKind = {
  trigger: {
    stage: 'after_answer',
    isAlwaysTriggered: fn => isForEveryMessage({ ...fn, config: configOf(fn) }),
    prepare: async (fn, { values }, context, index) => makeWebhook(fn, values, context, await webhookId(context.runId, index, fn.name))
  },
  call (fn, { values }, { webhooks }, context) {
    if (!webhooks.send(makeWebhook(fn, values, context), '')) throw new ToolError('The webhook could not be sent.')
    return 'The webhook is on its way.'
  },
  open: null
}
