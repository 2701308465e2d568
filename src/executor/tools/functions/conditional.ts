import type { AgentFunction } from '#shared/agent.ts'
import { configOf, occursIn, textIn, wordsIn } from '../function-config.js'
import type { FunctionKind } from '../function-kind.js'
import { fillText, type TemplateValues } from '../template.js'
import { asText } from './parameters.js'

/** A fixed answer {condition_keyword, condition_response, default_response}. */
export const conditional: FunctionKind = {
  trigger: {
    stage: 'before_model',
    replacesAnswer: true,
    run: (fn, { text, values }) => chooseResponse(configOf(fn), text, values)
  },
  call: ({ config }, { values }) => chooseResponse(config, asText(values.user_input), values) ?? 'It has no answer to this.',
  open: null
}

/** The response to a text: `condition_response` if a keyword occurs in it, else `default_response`; undefined if that is blank. */
function chooseResponse (config: AgentFunction['config'], text: string, values: TemplateValues): string | undefined {
  const holds = occursIn(text, wordsIn(config.condition_keyword))
  const response = textIn(config, holds ? 'condition_response' : 'default_response')
  return response.trim() === '' ? undefined : fillText(response, values)
}
