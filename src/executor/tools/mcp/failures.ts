import { ToolError } from '../tool.js'
import { INTERRUPTED } from './fetch.js'

/** UTF-16 units of an HTTP error's body that may be a JSON-RPC error. */
const MAX_BODY = 64 * 1024
const UNSUPPORTED_VERSION = -32022
/** How deep the SDK wraps the error of a request. */
const MAX_CAUSES = 5

/** What is used of the SDK's errors: `code` is a number if it is JSON-RPC's, and `data` has what HTTP said. */
interface SdkError {
  name?: string
  message: string
  code?: unknown
  cause?: unknown
  data?: { status?: number, text?: unknown, resultType?: unknown, cause?: unknown }
}

/** The server's own sentence about a call, from an error in an answer or in the body of an HTTP error; undefined if there is none. */
export function serverSentence (error: unknown): string | undefined {
  return rpcErrorOf(error)?.message
}

/** Whether the server does not know the session any more. It has done nothing then. */
export function isSessionLost (error: unknown): boolean {
  const { status } = dataOf(error)
  // Some servers say so by 400, and in words.
  return status === 404 || (status === 400 && /\bsession\b/i.test(rpcErrorOf(error)?.message ?? ''))
}

export function isTimeout (error: unknown): boolean {
  return (error as SdkError).code === 'REQUEST_TIMEOUT'
}

/** Whether the server has failed at the question for its versions, and may know the older handshake. */
export function mayBeOlder (error: unknown): boolean {
  const { status } = dataOf(error)
  if (toolErrorIn(error) || status === 401 || status === 403) return false
  return (error as SdkError).code === 'ERA_NEGOTIATION_FAILED' || isTimeout(error)
}

/** Whether the server has answered the older handshake by a refusal, and may know the newer protocol alone. */
export function mayBeNewer (error: unknown): boolean {
  const { status } = dataOf(error)
  if (toolErrorIn(error) || status === 401 || status === 403) return false
  return status === undefined ? !isTimeout(error) : status < 500
}

/** Why a server cannot be used. What it has said itself is left out: it may quote a header. */
export function describeFailure (error: unknown, host: string): ToolError {
  const known = toolErrorIn(error)
  if (known) return known
  const { name, code, message } = error as SdkError
  const { status, resultType } = dataOf(error)
  if (code === INTERRUPTED) return new ToolError(message)
  if (isTimeout(error)) return new ToolError(`${host} did not answer in time.`)
  if (status === 401 || status === 403 || name === 'InsufficientScopeError') return new ToolError(`${host} asks for other credentials (status ${status ?? 403}).`)
  // The SDK has no code for an older server's.
  if (code === UNSUPPORTED_VERSION || /protocol version is not supported/.test(message)) return new ToolError(`${host} speaks only versions of MCP that are not known here.`)
  const rpcError = rpcErrorOf(error)
  if (rpcError) return new ToolError(`${host} refuses what it was asked (MCP error ${rpcError.code}).`)
  if (status !== undefined) return new ToolError(`${host} answered with status ${status}.`)
  if (resultType === 'input_required') return new ToolError(`${host} asks for input, which a run cannot give.`)
  if (code === 'INVALID_RESULT' || code === 'UNSUPPORTED_RESULT_TYPE') return new ToolError(`${host} answered otherwise than MCP has it.`)
  return new ToolError(`${host} does not speak MCP over streamable HTTP.`)
}

function dataOf (error: unknown): NonNullable<SdkError['data']> {
  return (error as SdkError).data ?? {}
}

function rpcErrorOf (error: unknown): { code: number, message: string } | undefined {
  const { code, message } = error as SdkError
  if (typeof code === 'number' && code !== INTERRUPTED) return { code, message }
  const { text } = dataOf(error)
  if (typeof text !== 'string' || text.length > MAX_BODY) return undefined
  try {
    const { error: inner } = JSON.parse(text) as { error?: { code?: unknown, message?: unknown } }
    return typeof inner?.code === 'number' && typeof inner.message === 'string' ? { code: inner.code, message: inner.message } : undefined
  } catch {
    return undefined
  }
}

/** The error of the request itself, which the SDK may have wrapped. */
function toolErrorIn (error: unknown): ToolError | undefined {
  let inner: unknown = error
  for (let depth = 0; depth < MAX_CAUSES && typeof inner === 'object' && inner !== null; depth++) {
    if (inner instanceof ToolError) return inner
    inner = (inner as SdkError).cause ?? dataOf(inner).cause
  }
  return undefined
}
