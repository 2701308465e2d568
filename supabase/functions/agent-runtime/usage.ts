import type { Message } from './http/body.ts'

/** Tokens, as the gateway counted them, or estimated from the text where it did not say. */
export interface Usage { promptTokens: number, completionTokens: number, totalTokens: number, estimated: boolean }

/** The `usage` object of the OpenAI protocol, as far as it is needed. */
export interface ReportedUsage { prompt_tokens?: number, completion_tokens?: number, total_tokens?: number }

export const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0, totalTokens: 0, estimated: false }

/** How many characters make a token, in the mean, of English text. */
const CHARACTERS_PER_TOKEN = 4

export function measureUsage (reported: ReportedUsage | undefined, messages: Message[], output: string): Usage {
  if (isCount(reported?.prompt_tokens) && isCount(reported.completion_tokens)) {
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = reported
    const total = reported.total_tokens
    return { promptTokens, completionTokens, totalTokens: isCount(total) ? total : promptTokens + completionTokens, estimated: false }
  }
  const promptTokens = messages.reduce((sum, message) => sum + estimateTokens(textOf(message)), 0)
  const completionTokens = estimateTokens(output)
  return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens, estimated: true }
}

function estimateTokens (text: string): number {
  return Math.ceil(text.length / CHARACTERS_PER_TOKEN)
}

function textOf ({ content }: Message): string {
  if (typeof content === 'string') return content
  return content.map(part => part.type === 'text' ? part.text : '').join('')
}

function isCount (value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0
}
