import type { Agent, AgentFunction } from '../agent.ts'
import { AUTHOR_LIMITS } from './author-limits.ts'
import { configOf } from '../functions/function-config.ts'
import { jsonSizeWithin } from './json-size.ts'

/** An agent within the limits. `cut` names the columns of which something was left off; it contains no text of the author. */
export interface FittedAgent { agent: Agent, cut: string[] }

/**
 * Cuts an agent to what its author may write: texts and lists to their beginnings. A function whose configuration is too
 * large is left out, since half a template or half a URL is another one.
 * @returns the same agent if nothing is cut.
 */
export function fitAgent (agent: Agent): FittedAgent {
  const cut: string[] = []
  const fitted: Agent = {
    ...agent,
    name: fitText(agent.name, AUTHOR_LIMITS.agentName, 'name', cut),
    systemPrompt: fitText(agent.systemPrompt, AUTHOR_LIMITS.systemPrompt, 'system_prompt', cut),
    knowledgeBase: fitKnowledge(agent.knowledgeBase, cut),
    functions: fitFunctions(agent.functions, cut)
  }
  return cut.length === 0 ? { agent, cut } : { agent: fitted, cut: [...new Set(cut)] }
}

function fitText<T> (text: T, max: number, column: string, cut: string[]): T | string {
  if (typeof text !== 'string' || text.length <= max) return text
  cut.push(column)
  return text.slice(0, max).toWellFormed()
}

/** The first entries that fit; of the one that does not, its beginning. */
function fitKnowledge (knowledge: unknown, cut: string[]): unknown {
  const max = AUTHOR_LIMITS.knowledgeBase
  if (jsonSizeWithin(knowledge, max) !== undefined) return knowledge
  cut.push('knowledge_base')
  const fitted: unknown[] = []
  let left: number = max
  for (const entry of Array.isArray(knowledge) ? knowledge : [knowledge]) {
    const size = jsonSizeWithin(entry, left)
    if (size === undefined) return [...fitted, ...beginningOf(entry, left)]
    fitted.push(entry)
    left -= size
  }
  return fitted
}

/** The beginning of an entry, which is a text or has one in `content`; nothing of any other. */
function beginningOf (entry: unknown, max: number): string[] {
  const text = typeof entry === 'object' && entry !== null && 'content' in entry ? entry.content : entry
  return typeof text === 'string' ? [text.slice(0, max).toWellFormed()] : []
}

function fitFunctions (functions: AgentFunction[] | undefined, cut: string[]): AgentFunction[] | undefined {
  if (functions === undefined) return undefined
  if (functions.length > AUTHOR_LIMITS.functions) cut.push('functions')
  return functions.slice(0, AUTHOR_LIMITS.functions).flatMap(fn => fitFunction(fn, cut))
}

function fitFunction (fn: AgentFunction, cut: string[]): AgentFunction[] {
  if (!isConfigWithin(fn)) {
    cut.push('config')
    return []
  }
  return [{
    ...fn,
    name: fitText(fn.name, AUTHOR_LIMITS.functionName, 'function name', cut),
    description: fitText(fn.description, AUTHOR_LIMITS.functionDescription, 'function description', cut),
    triggerKeywords: fitWords(fn.triggerKeywords, cut)
  }]
}

function isConfigWithin (fn: AgentFunction): boolean {
  const { parameters } = configOf(fn)
  const isSchemaWithin = typeof parameters === 'string'
    ? parameters.length <= AUTHOR_LIMITS.parameters
    : jsonSizeWithin(parameters, AUTHOR_LIMITS.parameters) !== undefined
  return isSchemaWithin && jsonSizeWithin(fn.config, AUTHOR_LIMITS.config) !== undefined
}

/** Without the words that are too long: the beginning of a word would occur in more messages than the word. */
function fitWords (words: string[], cut: string[]): string[] {
  if (!Array.isArray(words)) return words
  const fitted = words.filter(word => typeof word !== 'string' || word.length <= AUTHOR_LIMITS.keyword).slice(0, AUTHOR_LIMITS.keywords)
  if (fitted.length < words.length) cut.push('trigger_keywords')
  return fitted.length < words.length ? fitted : words
}
