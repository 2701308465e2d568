import type { FastifyReply, FastifyRequest } from 'fastify'
import { jsonSizeWithin } from '#shared/bounds/json-size.ts'
import { errors } from '#shared/errors.ts'
import { refuse } from '#shared/http/refuse.ts'
import type { Message, Run } from '#shared/schemas.ts'
import { UUID } from '#shared/uuid.ts'
import { type ResponseDetails, type ResponseHead, runIdOf } from '../../contract/responses.js'
import { readItems, toMessages, toResponseFormat } from '../../contract/responses-input.js'
import type { ResponsesBody, TextFormat } from '../../contract/responses-schemas.js'
import type { RepeatableHeaders } from '../../executor/run/runs.js'
import { withConversation } from './conversation.js'

const MAX_MESSAGES = 2_000
const TEXT: TextFormat = { type: 'text' }
/** What is told again by several events of each stream is short, in characters; the model has all of it. */
const MAX_TOLD = 16 * 1024

/**
 * Begins the run of a response, or joins that of the same request, and keeps what belongs to it.
 * @throws {ServiceError} bad_request, agent_not_found, and as `withConversation` and `Runs.begin`.
 */
export async function beginResponse (
  request: FastifyRequest, reply: FastifyReply, body: ResponsesBody, headers: RepeatableHeaders
): Promise<{ run: Run, head: ResponseHead }> {
  const { model, input, instructions, previous_response_id: previous, store } = body
  const { server: { runs, database }, caller, trace } = request
  const { userId, apiKeyId, visitor } = caller!
  if (!UUID.test(model)) throw errors.modelNotFound(model)
  const details = readDetails(body)
  const items = readItems(input)
  const previousId = previous ? findPrevious(previous) : null
  const beginAfter = (earlier: Message[]): Promise<Run> => {
    // The instructions of earlier responses do not count, as the protocol has it.
    const messages = [...(instructions ? [{ role: 'system' as const, content: instructions }] : []), ...earlier, ...toMessages(items)]
    if (messages.length > MAX_MESSAGES) throw errors.conversationTooLong()
    return runs.beginOrRepeat({ kind: 'responses', userId, apiKeyId, visitor, agentId: model, messages, responseFormat: toResponseFormat(body.text?.format ?? TEXT), trace }, headers, reply.elapsedTime)
  }
  const run = await (previousId === null ? beginAfter([]) : withConversation(request, reply, previousId, beginAfter))
  if (store === false) return { run, head: { ...run, previousId, details, isStored: false } }
  const kept = await database.call('store_response', { p_user_id: userId, p_run_id: run.runId, p_previous_id: previousId, p_input: items, p_details: details })
  return { run, head: headOf(run, kept) }
}

export function headOf ({ runId, agentId, createdAt }: Run, { previousId, details }: Pick<ResponseHead, 'previousId' | 'details'>): ResponseHead {
  return { runId, agentId, createdAt, previousId, details, isStored: true }
}

/** What is told again with the response, if it is short. @throws {ServiceError} bad_request */
function readDetails ({ instructions, metadata, background, store, text, include }: ResponsesBody): ResponseDetails {
  if (background && store === false) refuse('store', 'must not be false for a response in the background')
  const place = include?.indexOf('message.output_text.logprobs') ?? -1
  if (place >= 0) refuse(`include.${place}`, 'cannot be had: there are no logprobs')
  const format = text?.format ?? TEXT
  return {
    instructions: instructions && instructions.length <= MAX_TOLD ? instructions : null,
    metadata: metadata as Record<string, string> | null ?? {},
    background: background ?? false,
    format: jsonSizeWithin(format, MAX_TOLD) === undefined ? { type: format.type } : format
  }
}

function findPrevious (responseId: string): string {
  const runId = runIdOf(responseId)
  if (runId === undefined) throw errors.previousResponseNotFound().with({ details: [{ path: 'previous_response_id', message: 'is the id of no response' }] })
  return runId
}
