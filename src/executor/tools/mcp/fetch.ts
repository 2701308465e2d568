import { Readable } from 'node:stream'
import { ToolError } from '../tool.js'
import { toWebStream } from '../outbound/web-stream.js'
import { limitResponse } from './response-limits.js'
import type { McpServer } from './server.js'

/** Bytes of a response, which may contain images. */
const MAX_BYTES = 4 * 1024 * 1024
/** Milliseconds for the request that ends the session. */
const CLOSE_TIMEOUT = 2000
/** How many times a session may resume an interrupted event stream. */
const MAX_RESUMPTIONS = 20

/** The code of an interrupted response, outside of the protocol's range. */
export const INTERRUPTED = -31999

export interface InterruptedResponse { jsonrpc: '2.0', id: string | number, error: { code: number, message: string } }

/**
 * Creates the fetch function of one MCP session. It uses the outbound client and adds the server's configured headers.
 * @param respond is called with an error response if a response is interrupted; without it, the SDK would wait until its timeout.
 */
export function createMcpFetch ({ headers: own, outbound, owner, trace, listTimeout, callTimeout }: McpServer, respond: (error: InterruptedResponse) => void) {
  let resumptions = 0
  return async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers)
    if (init.method === 'GET') {
      // A run has no use for unrequested messages of a server, so only resumed streams are opened.
      const isResumption = headers.has('last-event-id') && ++resumptions <= MAX_RESUMPTIONS
      if (!isResumption) return new Response(null, { status: 405 })
    }
    const body = typeof init.body === 'string' ? init.body : undefined
    const id = idIn(body)
    // After a notification there is nothing to wait for.
    const timeout = init.method === 'POST' && id === undefined ? listTimeout : callTimeout
    const { signal = null } = init
    const response = await outbound.stream({
      url: String(url),
      owner,
      trace,
      method: init.method,
      headers: { ...own, ...Object.fromEntries(headers) },
      body,
      followRedirects: false,
      timeout: init.method === 'DELETE' ? CLOSE_TIMEOUT : timeout,
      maxBytes: MAX_BYTES
    }, signal ?? new AbortController().signal)
    return withLimits(response, new URL(url).hostname, onBroken)

    function onBroken ({ message }: ToolError): void {
      if (id !== undefined) respond({ jsonrpc: '2.0', id, error: { code: INTERRUPTED, message } })
    }
  }
}

/** @param onBroken is called with the error that ends the body early. */
function withLimits (response: Response, host: string, onBroken: (error: ToolError) => void): Response {
  const { body, status, headers } = response
  if (!body) return response
  const isEvents = headers.get('content-type')?.trim().toLowerCase().startsWith('text/event-stream') ?? false
  const limited = Readable.from(limitResponse(body, host, isEvents), { objectMode: false }).once('error', error => { if (error instanceof ToolError) onBroken(error) })
  return new Response(toWebStream(limited), { status, headers })
}

/** The id of a JSON-RPC request; undefined for a notification, and for an answer of ours. */
function idIn (body = '{}'): string | number | undefined {
  const { id, method } = JSON.parse(body) as { id?: string | number, method?: string }
  return method === undefined ? undefined : id
}
