import { answerConditionally, chooseResponse } from '#shared/functions/conditional.ts'
import type { FunctionKind } from '../function-kind.js'
import { asText } from './parameters.js'

/** A fixed answer {condition_keyword, condition_response, default_response}. */
export const conditional: FunctionKind = {
  trigger: answerConditionally,
  call: ({ config }, { values }) => chooseResponse(config, asText(values.user_input), values) ?? 'It has no answer to this.',
  open: null
}
