import { configOf, textIn } from '../function-config.js'
import type { FunctionKind } from '../function-kind.js'
import { ToolError } from '../tool.js'
import { idOf, makeWebhook } from '../webhooks/webhook-call.js'

const EVENTS_OF_EVERY_MESSAGE = ['on_message', 'on_response', 'always']

/** A webhook {webhook_url, trigger_event, payload_template, secret}. An unknown event is `on_keyword`. */
export const webhook: FunctionKind = {
  trigger: {
    stage: 'after_answer',
    isAlwaysTriggered: fn => EVENTS_OF_EVERY_MESSAGE.includes(textIn(configOf(fn), 'trigger_event').trim().toLowerCase()),
    prepare: (fn, { values }, context, index) => makeWebhook(fn, values, context, idOf(context, fn, index))
  },
  call (fn, { values }, { webhooks }, context) {
    if (!webhooks.send(makeWebhook(fn, values, context), '')) throw new ToolError('The webhook could not be sent.')
    return 'The webhook is on its way.'
  },
  open: null
}
