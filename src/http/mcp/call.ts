import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors, ServiceError } from '#shared/errors.ts'
import type { Run } from '#shared/schemas.ts'
import { UUID } from '#shared/uuid.ts'
import { RPC_CODES, RpcFailure, toRpcFailure, toToolError, toToolResult, type ToolResult } from '../../contract/mcp/schemas.js'
import { findAgent } from '../../contract/mcp/tools.js'
import { consumeBody } from '../body-memory.js'
import { listModels } from '../models.js'
import type { TakenCall } from './message.js'
import { type Progress, ProgressTeller } from './progress.js'
import { RunWait } from './run-wait.js'

const MAX_QUOTED = 100

export interface ToolCall {
  /** The name of a tool, or the id of an agent. */
  readonly tool: string
  readonly taken: TakenCall
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal
  /** Tells the client how the run goes on, if it wants to know. */
  tell? (runId: string, progress: Progress): void
}

/**
 * Calls an agent as a tool: begins a run, and answers with all that it says.
 * @throws {RpcFailure} for a tool that there is not; with connection_ended, if the connection ends before the run. All other failures are results.
 */
export async function callTool (request: FastifyRequest, reply: FastifyReply, call: ToolCall): Promise<ToolResult> {
  try {
    const run = await begin(request, call)
    return await follow(request, reply, call, run)
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error
    request.logFields = { ...request.logFields, code: error.code }
    if (error.code === errors.connectionEnded.code) throw toRpcFailure(error)
    if (error.code === errors.modelNotFound.code) throw new RpcFailure(RPC_CODES.invalidParams, `There is no tool "${call.tool.slice(0, MAX_QUOTED)}".`)
    return toToolError(error)
  }
}

async function begin (request: FastifyRequest, { tool, taken }: ToolCall): Promise<Run> {
  const { server: { runs }, caller, headers } = request
  const { userId, apiKeyId, visitor } = caller!
  const agentId = UUID.test(tool) ? tool : findAgent(await listModels(request), tool)?.id
  if (agentId === undefined) throw errors.modelNotFound(tool)
  const { message: content } = taken
  if (typeof content !== 'string' || content.trim() === '') throw errors.badRequest('Call this tool with a message, which is a text: {"message": "…"}.')
  const run = await consumeBody(request, () => runs.begin({
    kind: 'mcp', userId, apiKeyId, visitor, agentId, messages: [{ role: 'user', content }], idempotencyKey: keyOf(headers), trace: request.trace
  }))
  taken.message = undefined
  request.logFields = { ...request.logFields, runId: run.runId, agentId }
  return run
}

async function follow (request: FastifyRequest, reply: FastifyReply, { signal, tell }: ToolCall, { runId }: Run): Promise<ToolResult> {
  const { server: { events, openAnswers, isDraining } } = request
  const progress = tell && new ProgressTeller(told => tell(runId, told), last => events.entries(runId).filter(({ seq }) => seq <= last))
  const wait = new RunWait({ log: events, runId, isDraining, take: entry => progress?.take(entry) })
  const leave = () => wait.stop(errors.connectionEnded().with({ runId }))
  signal.addEventListener('abort', leave)
  if (signal.aborted) leave()
  const through = openAnswers.add(() => {
    closeAfter(reply)
    wait.stop(errors.connectionEnded().with({ runId }))
  })
  try {
    return toToolResult(await wait.over)
  } finally {
    signal.removeEventListener('abort', leave)
    through()
    progress?.stop()
    if (signal.aborted) cancelLeft(request, runId)
  }
}

/**
 * The client has closed its stream, by which it cancels the call, as the protocol has it. Where somebody else follows the run it goes on; and
 * so it does where the client can come back, since it has named its request by a key.
 */
function cancelLeft (request: FastifyRequest, runId: string): void {
  const { server: { events, runs }, caller, headers, log } = request
  const goesOn = keyOf(headers) !== undefined || events.isFollowed(runId)
  // A request whose client has left has no line of its own.
  log.info({ runId, goesOn }, '[AGENT-EXECUTE] a client has left its call of a tool')
  if (goesOn) return
  runs.cancel(caller!, runId).catch(err => log.warn({ err, runId }, 'a run whose client has left could not be cancelled'))
}

/** A connection that is kept alive would keep the server from closing. */
function closeAfter ({ raw }: FastifyReply): void {
  const { socket } = raw
  raw.once('finish', () => socket?.end())
}

function keyOf (headers: FastifyRequest['headers']): string | undefined {
  return headers['idempotency-key'] as string | undefined
}
