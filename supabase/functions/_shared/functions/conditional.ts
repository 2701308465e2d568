import type { AgentFunction } from '../agent.ts'
import { configOf, occursIn, textIn, wordsIn } from './function-config.ts'
import { fillText, type TemplateValues } from './template.ts'
import type { RunsBeforeModel } from './triggered.ts'

/** A fixed answer {condition_keyword, condition_response, default_response}. */
export const answerConditionally: RunsBeforeModel<unknown> = {
  stage: 'before_model',
  replacesAnswer: true,
  run: (fn, { text, values }) => chooseResponse(configOf(fn), text, values)
}

/** The response to a text: `condition_response` if a keyword occurs in it, else `default_response`; undefined if that is blank. */
export function chooseResponse (config: AgentFunction['config'], text: string, values: TemplateValues): string | undefined {
  const holds = occursIn(text, wordsIn(config.condition_keyword))
  const response = textIn(config, holds ? 'condition_response' : 'default_response')
  return response.trim() === '' ? undefined : fillText(response, values)
}
