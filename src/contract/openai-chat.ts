import type { ServiceError } from '#shared/errors.ts'
import type { ExecuteAnswer, Run, Usage } from '#shared/schemas.ts'
import type { ChatCompletion } from './openai-schemas.js'

// The service's words in those of OpenAI's API.

/** Reasons for which an answer ends that clients know; of a call of tools, which they would answer, they are not told. */
const FINISH_REASONS = new Set(['stop', 'length', 'content_filter'])

export function finishReasonOf (finishReason: string | null): string {
  return finishReason !== null && FINISH_REASONS.has(finishReason) ? finishReason : 'stop'
}

export function toChatUsage ({ promptTokens, completionTokens, totalTokens }: Usage) {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: totalTokens }
}

/** A whole answer. @param reasoning what the model thought before it, where it tells. */
export function toChatCompletion ({ runId, agentId, createdAt }: Run, { response, finishReason, usage }: ExecuteAnswer, reasoning: string): ChatCompletion {
  const message = { role: 'assistant' as const, content: response, refusal: null, ...(reasoning === '' ? {} : { reasoning_content: reasoning }) }
  return {
    id: `chatcmpl-${runId}`,
    object: 'chat.completion',
    created: Math.floor(Date.parse(createdAt) / 1000),
    model: agentId,
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishReasonOf(finishReason) }],
    usage: toChatUsage(usage)
  }
}

/** Types of errors by status, as OpenAI's packages name their classes. */
const TYPES: Record<number, string> = {
  401: 'authentication_error', 403: 'permission_error', 404: 'not_found_error', 409: 'conflict_error', 429: 'rate_limit_error'
}

/** Codes that clients of OpenAI look for. */
const CODES: Record<string, string> = {
  unauthorized: 'invalid_api_key', agent_not_found: 'model_not_found', insufficient_credits: 'insufficient_quota', rate_limited: 'rate_limit_exceeded'
}

/** The body of an error. */
export function toChatError ({ code, message, statusCode, details, runId }: Pick<ServiceError, 'code' | 'message' | 'statusCode' | 'details' | 'runId'>) {
  const isQuota = statusCode === 402
  const type = isQuota ? 'insufficient_quota' : TYPES[statusCode] ?? (statusCode < 500 ? 'invalid_request_error' : 'server_error')
  const error = { message, type, param: details?.[0]?.path ?? null, code: isQuota ? 'insufficient_quota' : CODES[code] ?? code }
  return { error: runId === undefined ? error : { ...error, run_id: runId } }
}

/** The status of an error: a quota that is used up is 429 there. */
export function statusOf ({ statusCode }: Pick<ServiceError, 'statusCode'>): number {
  return statusCode === 402 ? 429 : statusCode
}

/** Errors of runs that go on: who asks again is told their answer. */
const GOES_ON = new Set(['shutting_down', 'connection_ended', 'run_elsewhere'])

/**
 * Whether a client should send the request again by itself. Its own rule would repeat each 409 and each used-up quota; and a
 * repeated request is answered by the run that the first one began, so that what has failed fails again.
 */
export function shouldRetry ({ isRetryable, runId, code }: Pick<ServiceError, 'isRetryable' | 'runId' | 'code'>): boolean {
  return isRetryable && (runId === undefined || GOES_ON.has(code))
}
