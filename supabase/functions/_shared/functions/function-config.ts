import type { AgentFunction } from '../agent.ts'
import { AUTHOR_LIMITS } from '../bounds/author-limits.ts'

/** A function's configuration. Anything but an object counts as empty. */
export function configOf ({ config }: { config: unknown }): AgentFunction['config'] {
  return typeof config === 'object' && config !== null && !Array.isArray(config) ? config as AgentFunction['config'] : {}
}

/** A text of a function's configuration; '' if it is missing. Numbers and booleans count as texts. */
export function textIn (config: AgentFunction['config'], name: string): string {
  const value = config[name]
  return typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : ''
}

/** A template of a function's configuration, given as a text or as the JSON value itself. */
export function templateIn (config: AgentFunction['config'], name: string): string {
  const value = config[name]
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : textIn(config, name)
}

/** The items of a list, which is an array or separated by commas: in lower case, without blank ones. */
export function listIn (list: unknown): string[] {
  const items: unknown[] = Array.isArray(list) ? list : typeof list === 'string' ? list.split(',') : []
  return items.filter(item => typeof item === 'string').map(item => item.trim().toLowerCase()).filter(Boolean)
}

/** The words of a list that are looked for in messages: the first 100, without those that are longer than 100 UTF-16 units. */
export function wordsIn (list: unknown): string[] {
  return listIn(list).filter(word => word.length <= AUTHOR_LIMITS.keyword).slice(0, AUTHOR_LIMITS.keywords)
}

/** Whether a function has parameters: the model calls it, and keywords do not trigger it. */
export function hasParameters (fn: Pick<AgentFunction, 'config'>): boolean {
  const { parameters } = configOf(fn)
  return parameters != null && parameters !== ''
}
