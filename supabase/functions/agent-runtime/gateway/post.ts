import { errors } from '../../_shared/errors.ts'
import { MAX_REDIRECTS, redirectOf, sayRedirect } from '../../_shared/http/redirect.ts'
import { type TraceContext, traceHeaders } from '../../_shared/traces/trace-context.ts'
import { decodedBody } from './decode.ts'

/**
 * Sends a request for a completion, again where it is redirected on the same host.
 * @returns the answer, whose body is decoded.
 * @throws {ServiceError} gateway_unavailable; the signal's reason, if it is aborted.
 */
export async function post ({ url, key }: { url: string, key?: string }, body: string, signal: AbortSignal, trace?: TraceContext): Promise<Response> {
  const headers = {
    'content-type': 'application/json',
    accept: 'text/event-stream',
    'accept-encoding': 'identity',
    ...(key ? { authorization: `Bearer ${key}` } : {}),
    ...traceHeaders(trace)
  }
  let target = new URL(`${url}/chat/completions`)
  for (let redirects = 0; ; redirects++) {
    const response = await send(target, { method: 'POST', headers, body, redirect: 'manual', signal })
    const { status } = response
    if (status < 300 || status >= 400) return new Response(await decodedBody(response), { status, headers: response.headers })
    await response.body?.cancel()
    const location = response.headers.get('location')
    const next = redirects < MAX_REDIRECTS ? redirectOf(target, status, location) : undefined
    if (!next) throw errors.gatewayUnavailable().with({ reason: sayRedirect(target, status, location), gatewayStatus: status })
    target = next
  }
}

async function send (url: URL, init: RequestInit & { signal: AbortSignal }): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch (cause) {
    init.signal.throwIfAborted()
    throw errors.gatewayUnavailable().with({ cause })
  }
}
