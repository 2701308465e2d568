import { UUID } from '#shared/uuid.ts'
import type { Usage } from '#shared/schemas.ts'
import type { Response, TextFormat } from './responses-schemas.js'

// A response of OpenAI's API is a run, with what its client wants to be told again.

/** What is kept beside the run. */
export interface ResponseDetails {
  instructions: string | null
  metadata: Record<string, string>
  background: boolean
  format: TextFormat
}

/** What is known of a response before anything has happened. */
export interface ResponseHead {
  readonly runId: string
  readonly agentId: string
  /** ISO 8601. */
  readonly createdAt: string
  /** The run of the response that it continues. */
  readonly previousId: string | null
  readonly details: ResponseDetails
  readonly isStored: boolean
}

/** What has become of it so far. */
export interface ResponseState {
  status: Response['status']
  output: object[]
  error: Response['error']
  incompleteReason: string | null
  usage: Usage | null
  /** Milliseconds since 1970. */
  completedAt: number | null
}

const PREFIX = 'resp_'

export function responseIdOf (runId: string): string {
  return PREFIX + runId
}

/** The run of a response; undefined if there is none of such an id. */
export function runIdOf (responseId: string): string | undefined {
  const runId = responseId.startsWith(PREFIX) ? responseId.slice(PREFIX.length) : ''
  return UUID.test(runId) ? runId.toLowerCase() : undefined
}

/**
 * The id of an item, the same for everybody who reads it.
 * @param kind how ids of its type begin.
 * @param place a number or a name that no other item of the response has.
 */
export function itemIdOf (kind: string, runId: string, place: number | string): string {
  return `${kind}_${runId.replaceAll('-', '')}_${place}`
}

export function toResponse (head: ResponseHead, { status, output, error, incompleteReason, usage, completedAt }: ResponseState): Response {
  const { runId, agentId, createdAt, previousId, details: { instructions, metadata, background, format }, isStored } = head
  return {
    id: responseIdOf(runId),
    object: 'response',
    created_at: Math.floor(Date.parse(createdAt) / 1000),
    completed_at: completedAt === null ? null : Math.floor(completedAt / 1000),
    status,
    background,
    error,
    incomplete_details: incompleteReason === null ? null : { reason: incompleteReason },
    instructions,
    max_output_tokens: null,
    metadata,
    model: agentId,
    output,
    parallel_tool_calls: true,
    previous_response_id: previousId === null ? null : responseIdOf(previousId),
    store: isStored,
    temperature: null,
    text: { format },
    tool_choice: 'auto',
    tools: [],
    top_p: null,
    truncation: 'disabled',
    usage: usage && toResponseUsage(usage)
  }
}

/** Nothing is known of tokens that were cached or thought with: they are part of the others. */
function toResponseUsage ({ promptTokens, completionTokens, totalTokens }: Usage): Response['usage'] {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: totalTokens
  }
}
