import { toEdgeError } from '../errors.ts'
import { describe, log } from './log.ts'

const CORS = {
  // Tokens travel in headers and never in cookies, so `*` gives no site more than its visitor has.
  'access-control-allow-origin': '*',
  'access-control-allow-headers': 'authorization, x-client-info, apikey, content-type, x-api-key, idempotency-key, last-event-id',
  'access-control-allow-methods': 'GET, POST, OPTIONS',
  'access-control-expose-headers': 'x-run-id, retry-after',
  'access-control-max-age': '86400'
}

const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
}

/** What a request's line in the log says beside the common. */
export interface LogFields {
  runId?: string
  agentId?: string
  userId?: string
  /** Where the run is. */
  where?: 'edge' | 'backend'
}

/** Answers a browser that asks what it may send. */
export function answerPreflight (): Response {
  return new Response(null, { status: 204, headers: CORS })
}

export function json (status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers })
}

export function eventStream (body: ReadableStream<Uint8Array<ArrayBuffer>>, runId: string): Response {
  return new Response(body, { headers: { ...SSE_HEADERS, 'x-run-id': runId } })
}

/** Runs a handler: its errors become answers, browsers may read them, and the log gets its line when all is said. */
export async function answer (request: Request, handler: (fields: LogFields) => Promise<Response>): Promise<Response> {
  const startedAt = performance.now()
  const fields: LogFields = {}
  const response = await handler(fields).catch(error => render(error, fields))
  for (const [name, value] of Object.entries(CORS)) response.headers.set(name, value)
  const done = () => {
    const ms = Math.round(performance.now() - startedAt)
    log('info', `${request.method} ${response.status} in ${ms} ms`, { ...fields, status: response.status, ms })
  }
  if (response.body && response.headers.get('content-type')?.startsWith('text/event-stream')) {
    return new Response(withEnd(response.body, done), response)
  }
  done()
  return response
}

function render (error: unknown, fields: LogFields): Response {
  const told = toEdgeError(error)
  const { message, code, statusCode, retryAfter, runId = fields.runId, details, cause } = told
  // What callers did wrong is their affair; what went wrong here or behind us is the operator's.
  if (statusCode >= 500) log('error', message, { code, cause: describe(cause), runId })
  return json(statusCode, { error: message, code, statusCode, requestId: crypto.randomUUID(), runId, details }, {
    ...(retryAfter === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfter)) }),
    ...(runId === undefined ? {} : { 'x-run-id': runId })
  })
}

/** The same stream, which says so when it has ended or its reader has left. */
function withEnd (body: ReadableStream<Uint8Array>, done: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  return new ReadableStream({
    async pull (controller) {
      const { done: isOver, value } = await reader.read()
      if (!isOver) return controller.enqueue(value)
      controller.close()
      done()
    },
    cancel (reason) {
      done()
      return reader.cancel(reason)
    }
  })
}
