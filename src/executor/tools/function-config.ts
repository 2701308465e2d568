import type { AgentFunction } from '#shared/agent.ts'

/** A function's configuration; what is no object configures nothing. */
export function configOf ({ config }: { config: unknown }): AgentFunction['config'] {
  return typeof config === 'object' && config !== null && !Array.isArray(config) ? config as AgentFunction['config'] : {}
}

/** A text of a function's configuration; '' where it has none. People write numbers where texts are meant, too. */
export function textIn (config: AgentFunction['config'], name: string): string {
  const value = config[name]
  return typeof value === 'string' ? value : typeof value === 'number' || typeof value === 'boolean' ? String(value) : ''
}

/** A template, which may also stand there as the JSON that it is. */
export function templateIn (config: AgentFunction['config'], name: string): string {
  const value = config[name]
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : textIn(config, name)
}

/** The words of a list: an array, or separated by commas; lower-cased, none of them blank. */
export function wordsIn (list: unknown): string[] {
  const items: unknown[] = Array.isArray(list) ? list : typeof list === 'string' ? list.split(',') : []
  return items.filter(item => typeof item === 'string').map(item => item.trim().toLowerCase()).filter(Boolean)
}

/** Whether one of the words occurs in a text, be it within another word. */
export function occursIn (text: string, words: string[]): boolean {
  const lowerCased = text.toLowerCase()
  return words.some(word => lowerCased.includes(word))
}
