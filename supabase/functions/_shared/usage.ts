import type { ModelMessage } from './messages.ts'
import type { Usage } from './schemas.ts'

/** The average for English text, by the rule of thumb that model vendors give. */
const CHARACTERS_PER_TOKEN = 4

/** The fields of the OpenAI protocol's `usage` object that are read here. */
export interface ReportedUsage { prompt_tokens?: number, completion_tokens?: number, total_tokens?: number }

/** The usage that the gateway reported; if it reported none, an estimate from the texts, marked as estimated. */
export function measureUsage (reported: ReportedUsage | undefined, messages: ModelMessage[], output: string): Usage {
  if (isCount(reported?.prompt_tokens) && isCount(reported.completion_tokens)) {
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = reported
    const total = reported.total_tokens
    return { promptTokens, completionTokens, totalTokens: isCount(total) ? total : promptTokens + completionTokens, estimated: false }
  }
  const promptTokens = messages.reduce((sum, message) => sum + estimateTokens(textOf(message)), 0)
  const completionTokens = estimateTokens(output)
  return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens, estimated: true }
}

export const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0, totalTokens: 0, estimated: false }

export function addUsage (a: Usage, b: Usage): Usage {
  return {
    promptTokens: a.promptTokens + b.promptTokens,
    completionTokens: a.completionTokens + b.completionTokens,
    totalTokens: a.totalTokens + b.totalTokens,
    estimated: a.estimated || b.estimated
  }
}

function estimateTokens (text: string): number {
  return Math.ceil(text.length / CHARACTERS_PER_TOKEN)
}

function textOf (message: ModelMessage): string {
  if ('tool_calls' in message) return (message.content ?? '') + JSON.stringify(message.tool_calls)
  const { content } = message
  if (typeof content === 'string') return content
  return content.map(part => part.type === 'text' ? part.text : '').join('')
}

function isCount (value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0
}
