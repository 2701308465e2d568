import type { McpServer } from './server.js'

/** Bytes of an answer, images in it included. */
const MAX_BYTES = 4 * 1024 * 1024
/** Milliseconds for a goodbye. */
const CLOSE_TIMEOUT = 2000
/** How often a server may have an answer fetched in another request than the one it belongs to. */
const MAX_RESUMPTIONS = 20

/** Our own code, outside of those of the protocol, for an answer that broke off. */
export const BROKEN_OFF = -31999

export interface BrokenOff { jsonrpc: '2.0', id: string | number, error: { code: number, message: string } }

/**
 * The fetch of one MCP session, on the outbound client, with the server's own headers.
 * @param answer is given an error for a request whose answer broke off: the library would wait for it until its time is up.
 */
export function createMcpFetch ({ headers: own, outbound, callTimeout }: McpServer, answer: (error: BrokenOff) => void) {
  let resumptions = 0
  return async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers)
    if (init.method === 'GET') {
      // Nothing is told unasked that a run would want to know, so there is no stream for it.
      const isWanted = headers.has('last-event-id') && ++resumptions <= MAX_RESUMPTIONS
      if (!isWanted) return new Response(null, { status: 405 })
    }
    const body = typeof init.body === 'string' ? init.body : undefined
    const id = idIn(body)
    return outbound.stream({
      url: String(url),
      method: init.method,
      headers: { ...own, ...Object.fromEntries(headers) },
      body,
      followRedirects: false,
      timeout: init.method === 'DELETE' ? CLOSE_TIMEOUT : callTimeout,
      maxBytes: MAX_BYTES
    }, init.signal ?? new AbortController().signal, ({ message }) => {
      if (id !== undefined) answer({ jsonrpc: '2.0', id, error: { code: BROKEN_OFF, message } })
    })
  }
}

/** The id of a JSON-RPC request; notifications have none. */
function idIn (body = '{}'): string | number | undefined {
  const { id } = JSON.parse(body) as { id?: string | number }
  return id
}
