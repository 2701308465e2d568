import { loggedSentence, reasonOf, type ServiceError, toServiceError } from '../../_shared/errors.ts'
import { SSE_HEADERS } from '../../_shared/http/sse.ts'
import { log, type LogFields } from './log.ts'

/** Characters. */
const MAX_ADDRESS = 64

const CORS = {
  // Tokens are sent in headers and never in cookies, so `*` gives a site no more than its visitor has.
  'access-control-allow-origin': '*',
  'access-control-allow-headers': 'authorization, x-client-info, apikey, content-type, user-agent, x-api-key, idempotency-key, last-event-id, x-stream-events, traceparent, tracestate',
  'access-control-allow-methods': 'GET, POST, OPTIONS',
  'access-control-expose-headers': 'x-run-id, retry-after',
  'access-control-max-age': '86400'
}

/** Answers the preflight request of a browser. */
export function answerPreflight (): Response {
  return new Response(null, { status: 204, headers: CORS })
}

export function json (status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers })
}

export function eventStream (body: ReadableStream<Uint8Array<ArrayBuffer>>, runId: string): Response {
  return new Response(body, { headers: { ...SSE_HEADERS, 'x-run-id': runId } })
}

/** Runs a handler. Renders its error, adds the CORS headers, and writes the log line when the whole answer has been sent. */
export async function answer (request: Request, handler: (fields: LogFields) => Promise<Response>): Promise<Response> {
  const startedAt = performance.now()
  const fields: LogFields = {}
  const response = await handler(fields).catch(error => render(error, fields, request))
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

function render (error: unknown, fields: LogFields, request: Request): Response {
  const failure = toServiceError(error)
  noteRefusal(failure, fields, request)
  const { message, code, statusCode, retryAfter, runId = fields.runId, allow, details } = failure
  // Only failures of this function and of what it calls are for the operator; 4xx are for the caller.
  if (statusCode >= 500) log('error', message, { code, cause: reasonOf(failure), runId })
  const seconds = retryAfter === undefined ? undefined : Math.ceil(retryAfter)
  return json(statusCode, { error: message, code, statusCode, requestId: crypto.randomUUID(), runId, retryAfter: seconds, details }, {
    ...(seconds === undefined ? {} : { 'retry-after': String(seconds) }),
    ...(allow === undefined ? {} : { allow: allow.join(', ') }),
    ...(runId === undefined ? {} : { 'x-run-id': runId })
  })
}

/** Notes why a request was refused and, if that is for its caller to mend, where it came from, as far as the platform says it. */
function noteRefusal (failure: ServiceError, fields: LogFields, { headers }: Request): void {
  fields.code = failure.code
  if (failure.statusCode !== 400 && failure.statusCode !== 401) return
  fields.reason = loggedSentence(failure)
  fields.address = headers.get('x-forwarded-for')?.split(',')[0]?.trim().slice(0, MAX_ADDRESS)
}

/** The same stream, with a call back when it has ended or its reader has left. */
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
