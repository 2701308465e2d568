import type { AgentFunction } from '../agent.ts'
import { configOf, textIn, wordsIn } from './function-config.ts'
import { fillText, type TemplateValues } from './template.ts'
import type { RunsBeforeModel } from './triggered.ts'
import { occursIn, searchedPartOf } from './word-search.ts'

/** A fixed answer {condition_keyword, condition_response, default_response}. */
export const answerConditionally: RunsBeforeModel<unknown> = {
  stage: 'before_model',
  replacesAnswer: true,
  words: conditionWords,
  run: (fn, { found, values }) => respond(configOf(fn), conditionWords(fn).some(word => found.has(word)), values)
}

/** The words that a function looks for in the message. */
function conditionWords (fn: AgentFunction): string[] {
  return wordsIn(configOf(fn).condition_keyword)
}

/** The response to a text: `condition_response` if a keyword occurs in it, else `default_response`; undefined if that is blank. */
export function chooseResponse (config: AgentFunction['config'], text: string, values: TemplateValues): string | undefined {
  return respond(config, occursIn(searchedPartOf(text), wordsIn(config.condition_keyword)), values)
}

function respond (config: AgentFunction['config'], holds: boolean, values: TemplateValues): string | undefined {
  const response = textIn(config, holds ? 'condition_response' : 'default_response')
  return response.trim() === '' ? undefined : fillText(response, values)
}
