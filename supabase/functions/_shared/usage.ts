import type { ModelMessage } from './messages.ts'
import type { Usage } from './schemas.ts'

/** The average for English text, by the rule of thumb that model vendors give. */
const CHARACTERS_PER_TOKEN = 4

/** The fields of the OpenAI protocol's `usage` object that are read here. */
export interface ReportedUsage { prompt_tokens?: number, completion_tokens?: number, total_tokens?: number }

/** What besides the messages decides how many tokens a request may come to. */
export interface Asked { maxTokens?: number, tools?: readonly object[], responseFormat?: object }

/** A token has at least one byte, and a UTF-16 unit has three bytes at most. */
const TOKENS_PER_UNIT = 3
/** The most that gateways put around a message, around a prompt and around an answer: roles, rules for tools, separators. */
const TOKENS_PER_MESSAGE = 64
const TOKENS_PER_REQUEST = 4_096
const TOKENS_PER_ANSWER = 256
/** The most that any model counts for an image, whose address says nothing of its size. */
const TOKENS_PER_IMAGE = 50_000

/**
 * The usage that the gateway reported, as far as the texts can come to it; if it reported none, an estimate from the texts.
 * What is not as the gateway reported it is marked as estimated.
 */
export function measureUsage (reported: ReportedUsage | undefined, messages: ModelMessage[], output: string, asked: Asked = {}): Usage {
  if (isCount(reported?.prompt_tokens) && isCount(reported.completion_tokens)) {
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = reported
    const total = isCount(reported.total_tokens) ? reported.total_tokens : 0
    // More than the sum is said where reasoning counts in the total alone; less is a fault.
    return boundUsage({ promptTokens, completionTokens, totalTokens: Math.max(total, promptTokens + completionTokens), estimated: false }, messages, output, asked)
  }
  const promptTokens = estimatePrompt(messages)
  const completionTokens = estimateTokens(output)
  return { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens, estimated: true }
}

/** Two reports of one answer as one: of each field the largest count, since a gateway may report as it goes, and zeros at the end. */
export function addReport (before: ReportedUsage | undefined, report: ReportedUsage): ReportedUsage {
  if (!before) return report
  const largest = (name: keyof ReportedUsage) => isCount(before[name]) && !(isCount(report[name]) && report[name] > before[name]) ? before[name] : report[name]
  return { prompt_tokens: largest('prompt_tokens'), completion_tokens: largest('completion_tokens'), total_tokens: largest('total_tokens') }
}

/** How many tokens messages have, estimated. */
export function estimatePrompt (messages: readonly ModelMessage[]): number {
  return messages.reduce((sum, message) => sum + estimateTokens(textOf(message)), 0)
}

/** A reported usage, cut at what the texts can come to, whatever the tokenizer: nobody pays for figures that cannot be. */
export function boundUsage (usage: Usage, messages: readonly ModelMessage[], output: string, { maxTokens = 0, tools, responseFormat }: Asked): Usage {
  let prompt = TOKENS_PER_REQUEST + messages.reduce((sum, message) => sum + mostTokensOf(message), 0)
  if (usage.totalTokens > prompt && (tools || responseFormat)) prompt += TOKENS_PER_UNIT * JSON.stringify([tools, responseFormat]).length
  // Reasoning that is not shown counts, up to the limit that was asked for.
  const completion = TOKENS_PER_ANSWER + Math.max(maxTokens, TOKENS_PER_UNIT * output.length)
  const promptTokens = Math.min(usage.promptTokens, prompt)
  const completionTokens = Math.min(usage.completionTokens, completion)
  const isCut = promptTokens < usage.promptTokens || completionTokens < usage.completionTokens || usage.totalTokens > prompt + completion
  if (!isCut) return usage
  return { promptTokens, completionTokens, totalTokens: Math.min(usage.totalTokens, prompt + completion), estimated: true }
}

function mostTokensOf (message: ModelMessage): number {
  const images = Array.isArray(message.content) ? message.content.filter(({ type }) => type === 'image_url').length : 0
  return TOKENS_PER_MESSAGE + TOKENS_PER_UNIT * textOf(message).length + TOKENS_PER_IMAGE * images
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
  const content = message.content ?? ''
  const text = typeof content === 'string' ? content : content.map(part => part.type === 'text' ? part.text : '').join('')
  if (!('tool_calls' in message)) return text
  const extra = message.origin?.extra
  return text + JSON.stringify(message.tool_calls) + (extra ? JSON.stringify(extra) : '')
}

function isCount (value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0
}
