import type { FunctionResult, Message } from './schemas.ts'
import type { ToolCall } from '../../../src/executor/gateway/tool-calls.js'
import type { AgentFunction } from '../../../src/executor/tools/tool.js'

/** What of an agent it takes to run it. */
export interface Agent {
  name?: string | null
  systemPrompt?: string | null
  model?: string | null
  temperature?: number | null
  maxTokens?: number | null
  knowledgeBase?: unknown
  /** `python`: it is code, at `entrypoint`, and no model is asked. */
  executor?: string | null
  /** `package.module:function`. */
  entrypoint?: string | null
  /** How many times its model may be asked at the most. */
  maxSteps?: number | null
  functions?: AgentFunction[]
}

/** What a model is sent: the conversation, and of this run what the model asked for and was told. */
export type ModelMessage =
  | Message
  | { role: 'assistant', content: string | null, tool_calls: ToolCall[] }
  | { role: 'tool', tool_call_id: string, content: string }

/**
 * The messages for the model: one system message from the agent's own prompt, its knowledge base and what its
 * functions found, then the conversation as it came.
 */
export function buildMessages (agent: Agent, messages: Message[], functionResults: FunctionResult[] = []): Message[] {
  const system = [
    agent.systemPrompt?.trim() || `You are ${agent.name?.trim() || 'a helpful assistant'}.`,
    section('Knowledge base', knowledgeTexts(agent.knowledgeBase)),
    section('Function results', functionResults.filter(result => result.success).map(describeResult))
  ].filter(Boolean).join('\n\n')
  return [{ role: 'system', content: system } as Message].concat(messages)
}

function section (title: string, texts: string[]): string {
  return texts.length === 0 ? '' : `${title}:\n${texts.map(text => `- ${text}`).join('\n')}`
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

function describeResult ({ functionName, functionType, data }: FunctionResult): string {
  return `${functionName} (${functionType}): ${typeof data === 'string' ? data : JSON.stringify(data ?? null)}`
}
