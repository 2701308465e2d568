import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import type { Server, ServerContext } from '@modelcontextprotocol/server'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors, ServiceError } from '#shared/errors.ts'
import { PING_MS } from '#shared/http/sse.ts'
import { RPC_CODES, RpcFailure, toRpcFailure } from '../../contract/mcp/schemas.js'
import { toTools } from '../../contract/mcp/tools.js'
import { callerKey } from '../client-address.js'
import { listModels } from '../models.js'
import { callTool, type ToolCall } from './call.js'
import { readMessage, type TakenCall } from './message.js'

/** UTF-16 units of what a client names: a longer token would be sent again with each word of progress. */
const MAX_TOKEN = 200
const SESSION = 'mcp-session-id'
/** What is logged of a method: a client may send any text as one. */
const METHOD = /^[a-z]+(\/[a-zA-Z_]+){0,2}$/
/** Of the headers of a request the protocol reads these. */
const HEADERS = /^(accept|content-type|mcp-.*)$/

const INSTRUCTIONS = 'Each tool is an agent that answers a message. It may work for minutes; closing the connection ends its work.'

/**
 * Answers a message of MCP, of either protocol, by the official package. A call of a tool is streamed from its beginning, so that it is never silent.
 * @param version of this service.
 * @throws {ServiceError} as `readMessage`.
 */
export async function serveMcp (request: FastifyRequest, reply: FastifyReply, version: string): Promise<FastifyReply> {
  const { body: parsedBody, headers, server: { openAnswers } } = request
  const { method, id, cancels, call } = readMessage(parsedBody)
  request.logFields = { rpc: typeof method === 'string' && METHOD.test(method) ? method : undefined }
  // Loaded on demand: it takes as long as the rest of the service.
  const { createMcpHandler, Server: McpServer } = await import('@modelcontextprotocol/server')
  const { signal, leave } = exchangeOf(reply)
  const name = nameOf(request, id)
  if (call && name !== undefined) reply.raw.once('close', openAnswers.name(name, leave))
  const cancelled = nameOf(request, cancels)
  if (cancelled !== undefined) openAnswers.leave(cancelled)
  const create = () => serve(new McpServer({ name: 'jeesi-railway-backend', version }, { capabilities: { tools: {} }, instructions: INSTRUCTIONS }), request, reply, call)
  const handler = createMcpHandler(create, { responseMode: call ? 'sse' : 'auto', keepAliveMs: PING_MS })
  const answer = await handler.fetch(new Request('http://localhost/mcp', { method: 'POST', headers: headersOf(headers), signal }), { parsedBody })
  // It names the client alone: nothing is kept of it.
  if (method === 'initialize' && answer.ok) reply.header(SESSION, randomUUID())
  return pass(answer, reply)
}

/** How a client of the older protocol names a request of its own, in later ones; undefined if it does not say who it is. */
function nameOf (request: FastifyRequest, id: unknown): string | undefined {
  const session = request.headers[SESSION]
  const isName = typeof id === 'number' || (typeof id === 'string' && id.length <= MAX_TOKEN)
  return isName && typeof session === 'string' && session.length <= MAX_TOKEN ? JSON.stringify([callerKey(request), session, id]) : undefined
}

/** The signal of a request is aborted when its client leaves, or is taken to have left. */
function exchangeOf ({ raw }: FastifyReply): { signal: AbortSignal, leave: () => void } {
  const left = new AbortController()
  const leave = () => left.abort()
  raw.once('close', leave)
  if (raw.destroyed) leave()
  return { signal: left.signal, leave }
}

function headersOf (headers: IncomingHttpHeaders): Array<[string, string]> {
  return Object.entries(headers).flatMap(([name, value]) => HEADERS.test(name) ? [[name, String(value)] as [string, string]] : [])
}

/** Connections are the server's: whether one is kept alive the package does not know. */
function pass (answer: Response, reply: FastifyReply): FastifyReply {
  reply.code(answer.status)
  for (const [name, value] of answer.headers) if (name !== 'connection') reply.header(name, value)
  return reply.send(answer.body ? Readable.fromWeb(answer.body as ReadableStream) : undefined)
}

function serve (server: Server, request: FastifyRequest, reply: FastifyReply, taken: TakenCall = { message: undefined }): Server {
  server.setRequestHandler('tools/list', ({ params }) => explained(request, async () => {
    if (params?.cursor !== undefined) throw new RpcFailure(RPC_CODES.invalidParams, 'There is one page of tools: leave the cursor out.')
    return { tools: toTools(await listModels(request)) }
  }))
  server.setRequestHandler('tools/call', ({ params: { name: tool } }, { mcpReq }) => explained(request, () =>
    callTool(request, reply, { tool, taken, signal: mcpReq.signal, tell: tellerOf(mcpReq) })))
  return server
}

/** The package tells a client the words of whatever error it meets. */
async function explained<T> ({ log }: FastifyRequest, answer: () => Promise<T>): Promise<T> {
  try {
    return await answer()
  } catch (error) {
    if (error instanceof RpcFailure) throw error
    if (error instanceof ServiceError) throw toRpcFailure(error)
    log.error({ err: error }, 'unexpected error')
    throw toRpcFailure(errors.internal())
  }
}

function tellerOf ({ _meta: meta, notify }: ServerContext['mcpReq']): ToolCall['tell'] {
  const progressToken = meta?.progressToken
  if (progressToken === undefined || String(progressToken).length > MAX_TOKEN) return undefined
  return (runId, progress) => {
    // Who has left is told nothing.
    notify({ method: 'notifications/progress', params: { progressToken, ...progress, _meta: { 'jeesi/run': { runId } } } }).catch(() => {})
  }
}
