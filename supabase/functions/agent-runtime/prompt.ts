import type { ExecuteBody, Message } from './http/body.ts'

/** What of an agent the prompt and the model call are made from. */
export interface Agent {
  name?: string | null
  systemPrompt?: string | null
  model?: string | null
  temperature?: number | null
  maxTokens?: number | null
  knowledgeBase?: unknown
}

/** The messages for the model, as the service makes them: one of the system from the agent's own, then the conversation as it came. */
export function buildMessages (agent: Agent, messages: Message[]): Message[] {
  const knowledge = knowledgeTexts(agent.knowledgeBase)
  const system = [
    agent.systemPrompt?.trim() || `You are ${agent.name?.trim() || 'a helpful assistant'}.`,
    knowledge.length === 0 ? '' : `Knowledge base:\n${knowledge.map(text => `- ${text}`).join('\n')}`
  ].filter(Boolean).join('\n\n')
  return [{ role: 'system', content: system }, ...messages]
}

/** Entries are strings, or objects that have the text in `content`; a single one may stand without its list. */
function knowledgeTexts (knowledgeBase: unknown): string[] {
  const entries = Array.isArray(knowledgeBase) ? knowledgeBase : [knowledgeBase]
  return entries.map(textOf).filter(text => text !== '')
}

function textOf (entry: unknown): string {
  if (typeof entry === 'string') return entry.trim()
  if (typeof entry !== 'object' || entry === null) return ''
  if (!('content' in entry)) return JSON.stringify(entry)
  const content = typeof entry.content === 'string' ? entry.content.trim() : entry.content == null ? '' : JSON.stringify(entry.content)
  const title = 'title' in entry && typeof entry.title === 'string' ? `${entry.title.trim()}: ` : ''
  return content && title + content
}

/** By what an Idempotency-Key's requests are known to be the same, here and in the service. */
export async function hashRequest ({ agentId, messages, response_format: format }: ExecuteBody): Promise<string> {
  // The service has function results and a configuration at these places, where it is given them.
  const text = JSON.stringify([agentId, messages, null, null, ...(format ? [format] : [])])
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(digest), byte => byte.toString(16).padStart(2, '0')).join('')
}
