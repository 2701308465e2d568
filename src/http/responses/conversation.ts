import type { FastifyReply, FastifyRequest } from 'fastify'
import { ServiceError } from '#shared/errors.ts'
import { accessArguments, readAccessOf } from '#shared/http/caller.ts'
import type { Message } from '#shared/schemas.ts'
import { toMessages } from '../../contract/responses-input.js'
import { BODY_COST, UNCOUNTED_BODY } from '../../lib/memory/memory-budget.js'
import type { Hold } from '../../lib/memory/memory-share.js'
import { holdMemory, WAITING_BODIES } from '../arriving-memory.js'
import { callerKey } from '../client-address.js'

/** How many responses a conversation may have. */
const MAX_RESPONSES = 1_000
const TOO_LONG = 'conversation_too_long'

/**
 * Uses the messages of the conversation that a response ends: what was asked and what was answered, the oldest first. A long one
 * waits for memory, as the body of a request with all of it would.
 * @param runId of the response.
 * @throws {ServiceError} previous_response_not_found, response_under_way, conversation_too_long, server_busy
 */
export async function withConversation<T> (request: FastifyRequest, reply: FastifyReply, runId: string, use: (messages: Message[]) => Promise<T>): Promise<T> {
  const { config } = request.server
  const short = await readConversation(request, runId, Math.min(UNCOUNTED_BODY, config.bodyLimit)).catch(error => {
    if (error.code === TOO_LONG && config.bodyLimit > UNCOUNTED_BODY) return undefined
    throw error
  })
  if (short) return use(short)
  const hold = await holdInput(request, reply)
  try {
    return await use(await readConversation(request, runId, config.bodyLimit))
  } finally {
    hold.release()
  }
}

/** Takes memory for as much as a request may send, until the client has taken the answer or has gone. @throws {ServiceError} server_busy */
export function holdInput (request: FastifyRequest, reply: FastifyReply): Promise<Pick<Hold, 'release'>> {
  const { memory, config } = request.server
  return holdMemory(memory.arriving, callerKey(request), config.bodyLimit * BODY_COST, reply.raw, WAITING_BODIES)
}

async function readConversation ({ server, caller }: FastifyRequest, runId: string, maxBytes: number): Promise<Message[]> {
  try {
    const { responses } = await server.database.call('get_previous_responses', {
      p_run_id: runId, ...accessArguments(readAccessOf(caller!)), p_limit: MAX_RESPONSES, p_max_bytes: maxBytes
    })
    return responses.flatMap(({ input, response }) => [...toMessages(input), ...(response ? [{ role: 'assistant' as const, content: response }] : [])])
  } catch (error) {
    if (error instanceof ServiceError) error.with({ details: [{ path: 'previous_response_id', message: error.message }] })
    throw error
  }
}
