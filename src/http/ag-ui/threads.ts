import { hash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { jsonSizeWithin } from '#shared/bounds/json-size.ts'
import { readAccessOf } from '#shared/http/caller.ts'
import { EVENT_GROUPS } from '#shared/reader/known-events.ts'
import type { Run } from '#shared/schemas.ts'
import { type AgUiReader, MAX_HELD_MESSAGES, toMessages } from '../../contract/ag-ui/messages.js'
import type { AgUiMessage, RunAgentBody, Stopped } from '../../contract/ag-ui/schemas.js'
import { BODY_COST, UNCOUNTED_BODY } from '../../lib/memory/memory-budget.js'
import type { Hold } from '../../lib/memory/memory-share.js'
import { holdMemory, WAITING_BODIES } from '../arriving-memory.js'
import { callerKey } from '../client-address.js'
import type { StreamOptions } from '../sse/streams.js'

/** Runs go on where they are streamed from: a client is not sent elsewhere before its connection has to end. */
export const STREAM: StreamOptions = { format: 'agUi', known: new Set(EVENT_GROUPS.filter(group => group !== 'reconnect')) }
/** In which form a thread is told, as it is kept with its runs. */
const PROTOCOL = 'ag-ui'

/** A run of a thread, and how its client is told it. */
export interface ThreadRun {
  run: Run
  reader: AgUiReader
  /** Memory for what the client is told first; it is returned at the latest when the connection closes. */
  hold?: Pick<Hold, 'release'>
}

/**
 * Begins a run in a client's thread, or joins the one that the client calls the same.
 * @param isKept whether the messages are kept for a page that connects to the thread later.
 * @throws {ServiceError} as `Runs.begin`; idempotency_key_reused, if the client has called another request so.
 */
export async function beginThreadRun ({ server, caller, trace }: FastifyRequest, agentId: string, input: RunAgentBody, isKept: boolean): Promise<ThreadRun> {
  const { threadId, runId, messages, protocolVersion } = input
  const { userId, apiKeyId, visitor } = caller!
  const run = await server.runs.begin({ kind: 'ag_ui', userId, apiKeyId, visitor, agentId, messages: toMessages(input), idempotencyKey: keyOf(input), trace })
  const told = messages.map(withoutNulls)
  const kept = isKept ? { messages: told } : {}
  await server.chats.note(caller!, run.runId, chatOf(agentId, threadId), PROTOCOL, { pageRun: runId, ...kept })
  const text = jsonSizeWithin(told, MAX_HELD_MESSAGES) === undefined ? undefined : JSON.stringify(told)
  const held = text !== undefined && text.length <= MAX_HELD_MESSAGES ? text : undefined
  return { run, reader: { threadId, runId, protocolVersion, messages: held, isTold: false, hasReasoning: false } }
}

/** The latest run of a thread, to be told from the conversation before it on; undefined if there is none. Throws server_busy. */
export async function findThreadRun (request: FastifyRequest, reply: FastifyReply, agentId: string, input: RunAgentBody): Promise<ThreadRun | undefined> {
  const { server: { chats, runs }, caller } = request
  const access = readAccessOf(caller!)
  const { threadId, messages, protocolVersion } = input
  const found = await chats.find(access, chatOf(agentId, threadId))
  if (!found) return undefined
  const { runId } = found.run
  const { text, hold } = await readMessages(request, reply, runId, input)
  const run = await runs.resume(access, runId, 0)
  // Clients keep what the model thought, unless they are told other thoughts.
  const hasReasoning = messages.some(({ id, role }) => role === 'reasoning' && isOfRun(id, runId)) && !text.includes('"role":"reasoning"')
  return { run, reader: { threadId, runId: found.pageRun ?? runId, protocolVersion, messages: text, isTold: true, hasReasoning }, hold }
}

/** Cancels the unfinished runs of a thread. @param runId only if the latest of them is the one that the client calls so. */
export async function stopThread ({ server: { chats }, caller }: FastifyRequest, agentId: string, threadId: string, runId?: string): Promise<Stopped & { run?: Run }> {
  const chat = chatOf(agentId, threadId)
  const isOther = runId !== undefined && (await chats.find(caller!, chat, true))?.pageRun !== runId
  const run = isOther ? undefined : await chats.stop(caller!, chat)
  return run ? { stopped: true, run } : { stopped: false, message: 'No such run is under way.' }
}

/** The conversation before the answer in JSON: as it is kept, or else as the page has it, without what it has of the answer. */
async function readMessages (request: FastifyRequest, reply: FastifyReply, runId: string, { messages }: RunAgentBody): Promise<Pick<ThreadRun, 'hold'> & { text: string }> {
  const { server: { chats, memory }, caller } = request
  let hold: ThreadRun['hold']
  const kept = await chats.messagesOf(readAccessOf(caller!), runId, UNCOUNTED_BODY, async bytes => {
    hold = await holdMemory(memory.arriving, callerKey(request), bytes * BODY_COST, reply.raw, WAITING_BODIES)
  })
  return { text: JSON.stringify(kept ?? messages.filter(({ id }) => !isOfRun(id, runId)).map(withoutNulls)), hold }
}

/** Threads are of one agent, and no other client's chats are called so. */
function chatOf (agentId: string, threadId: string): string {
  return `ag-ui/${agentId.toLowerCase()}/${threadId}`
}

/** A client that sends the same run of the same thread again means the run that there is. */
function keyOf ({ threadId, runId }: RunAgentBody): string {
  return `ag-ui ${hash('sha256', JSON.stringify([threadId, runId]))}`
}

function isOfRun (messageId: string, runId: string): boolean {
  return messageId.startsWith(runId)
}

/** Clients take no null for what is optional. */
function withoutNulls (message: AgUiMessage): object {
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null))
}
