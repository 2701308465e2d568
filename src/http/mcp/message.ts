import { errors } from '#shared/errors.ts'

/** UTF-16 units of a message in JSON, without the arguments of the tool that it calls. */
const MAX_ENVELOPE = 64 * 1024

/** What is used of the arguments of a call. */
export interface TakenCall { message: unknown }

/** What is looked at of a message before the protocol's package has it. */
export interface McpMessage {
  readonly method?: unknown
  /** Of a request; of a call, so that it can be cancelled. */
  readonly id?: unknown
  /** The request that this one cancels. */
  readonly cancels?: unknown
  /** If it calls a tool. */
  readonly call?: TakenCall
}

/**
 * Looks at a message, and takes the arguments out of it if it calls a tool: the protocol's package would look through all of them, copy
 * them, and keep them for as long as the call lasts. What is left for it is small.
 * @param body as it was parsed; it is changed.
 * @throws {ServiceError} bad_request, for several messages at once, and for one that is too large.
 */
export function readMessage (body: unknown): McpMessage {
  if (Array.isArray(body)) throw errors.badRequest('Send each message by itself: batches are not taken here.')
  if (!isRecord(body)) return {}
  const { method, id, params } = body
  const call = method === 'tools/call' && isRecord(params) ? takeArguments(params) : undefined
  if (JSON.stringify(body).length > MAX_ENVELOPE) {
    throw errors.badRequest(`The message has more than ${MAX_ENVELOPE} characters beside the arguments of its tool.`)
  }
  const cancels = method === 'notifications/cancelled' && isRecord(params) ? params.requestId : undefined
  return { method, id, cancels, call }
}

function takeArguments (params: Record<string, unknown>): TakenCall {
  const { arguments: given } = params
  // What is no object the package refuses.
  if (!isRecord(given)) return { message: undefined }
  params.arguments = {}
  return { message: given.message }
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
