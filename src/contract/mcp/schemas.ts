import { Type } from '@sinclair/typebox'
import type { ServiceError } from '#shared/errors.ts'
import type { FinalEvent } from '#shared/schemas.ts'
import { answerOf } from '#shared/final-event.ts'

// The service's words in those of the Model Context Protocol.

/** JSON-RPC's own codes, and the one that MCP uses for refusals of HTTP. */
export const RPC_CODES = { parseError: -32700, invalidRequest: -32600, invalidParams: -32602, internal: -32603, refused: -32000 } as const

/** An error of JSON-RPC. `id` is null where the message that it answers was not read. */
export const RpcError = Type.Object({
  jsonrpc: Type.Literal('2.0'),
  id: Type.Null(),
  error: Type.Object({
    code: Type.Integer(),
    message: Type.String(),
    data: Type.Optional(Type.Object({
      code: Type.String(),
      statusCode: Type.Integer(),
      requestId: Type.Optional(Type.String()),
      retryAfter: Type.Optional(Type.Integer())
    }))
  })
})

/** The body of an error that is an HTTP status too. */
export function toRpcError ({ code, message, statusCode, retryAfter }: ServiceError, requestId: string) {
  const data = { code, statusCode, requestId, ...(retryAfter === undefined ? {} : { retryAfter: Math.ceil(retryAfter) }) }
  return { jsonrpc: '2.0', id: null, error: { code: rpcCodeOf(code, statusCode), message, data } }
}

function rpcCodeOf (code: string, statusCode: number): number {
  if (code === 'invalid_json') return RPC_CODES.parseError
  if (statusCode === 400) return RPC_CODES.invalidRequest
  return statusCode < 500 ? RPC_CODES.refused : RPC_CODES.internal
}

/** An error that the package answers a message with: it takes the code and the data from it. */
export class RpcFailure extends Error {
  constructor (readonly code: number, message: string, readonly data?: object) {
    super(message)
  }
}

/** The failure of a message by an error of the service. */
export function toRpcFailure (error: ServiceError): RpcFailure {
  const { code, message, statusCode, runId, isRetryable: retryable } = error
  return new RpcFailure(RPC_CODES.internal, message, { code, statusCode, retryable, ...(runId === undefined ? {} : { runId }) })
}

/** What a tool answers: one text. What programs may want to know beside it is in `_meta`. */
export interface ToolResult {
  [field: string]: unknown
  content: [{ type: 'text', text: string }]
  isError?: true
  _meta: Record<string, unknown>
}

/** The whole answer of a run that succeeded, or why there is none. Half of an answer is none. */
export function toToolResult (event: FinalEvent): ToolResult {
  if (event.type !== 'done') return toToolError(failureOf(event))
  const { type, response, ...run } = event
  return { content: [{ type: 'text', text: response }], _meta: { 'jeesi/run': run } }
}

/** A failure in a sentence that the model on the other side reads. */
export function toToolError ({ code, message, isRetryable: retryable, retryAfter, runId }: ServiceError): ToolResult {
  const error = { code, retryable, ...(retryAfter === undefined ? {} : { retryAfter: Math.ceil(retryAfter) }) }
  return {
    content: [{ type: 'text', text: message }],
    isError: true,
    _meta: { 'jeesi/error': error, ...(runId === undefined ? {} : { 'jeesi/run': { runId } }) }
  }
}

function failureOf (event: FinalEvent): ServiceError {
  try {
    answerOf(event)
  } catch (error) {
    return error as ServiceError
  }
  throw new TypeError(`a run that has ended with ${event.type} is no failure`)
}
