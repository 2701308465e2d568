import type { AgentFunction } from '#shared/agent.ts'
import { occursIn, textIn, wordsIn } from '../function-config.js'
import { fillText, type Values } from '../template.js'

/**
 * What a function {condition_keyword, condition_response, default_response} answers to a text: the one where a keyword
 * occurs in it, else the other. undefined: nothing.
 */
export function decide (config: AgentFunction['config'], text: string, values: Values): string | undefined {
  const holds = occursIn(text, wordsIn(config.condition_keyword))
  const response = textIn(config, holds ? 'condition_response' : 'default_response')
  return response.trim() === '' ? undefined : fillText(response, values)
}
