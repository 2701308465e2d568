import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import { type CallToolResult, createMcpHandler, Server, type Tool, WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server'
import type { Test } from 'tap'

export type Call = (name: string, args: Record<string, unknown>, signal: AbortSignal) => CallToolResult | Promise<CallToolResult>

/** A request that the double has got; `body` is what JSON-RPC says of it. */
export interface Asked { method: string, headers: IncomingMessage['headers'], rpc?: string }

export interface McpDouble {
  url: string
  asked: Asked[]
  /** Sessions that were opened and not ended. */
  sessions: Set<string>
  /** Resolves when a session is ended. */
  ended: Promise<void>
  /** Forgets all sessions, as a server does that is started anew. */
  restart (): void
}

export interface McpDoubleOptions {
  /** `older`: with a handshake and sessions; `newer`: of 2026-07-28, without both; `both`. */
  era?: 'older' | 'newer' | 'both'
  pages?: Tool[][]
  call?: Call
  json?: boolean
  /** Answers a request itself; false: it is for the protocol. */
  before? (request: IncomingMessage, response: ServerResponse, number: number): boolean
  /** Answers a request whose body has been read; false: it is for the protocol. */
  answer? (body: { method?: string, id?: unknown, params?: any }, response: ServerResponse): boolean
}

export const text = (...texts: string[]): CallToolResult => ({ content: texts.map(text => ({ type: 'text', text })) })

export const tool = (name: string, more: Partial<Tool> = {}): Tool => ({ name, description: `Does ${name}.`, inputSchema: { type: 'object', properties: { a: { type: 'string' } } }, ...more })

/** A real MCP server over streamable HTTP, of the official package. */
export async function startMcp (t: Test, { era = 'older', pages = [[tool('echo')]], call = (_name, args) => text(JSON.stringify(args)), json = false, before, answer }: McpDoubleOptions = {}): Promise<McpDouble> {
  let end = () => {}
  const transports = new Map<string, WebStandardStreamableHTTPServerTransport>()
  const double: McpDouble = { url: '', asked: [], sessions: new Set(), ended: new Promise(resolve => { end = resolve }), restart: () => { transports.clear(); double.sessions.clear() } }
  const createProtocol = () => {
    const server = new Server({ name: 'double', version: '1.0' }, { capabilities: { tools: {} } })
    server.setRequestHandler('tools/list', ({ params }) => {
      const page = Number(params?.cursor ?? 0)
      return { tools: pages[page] ?? [], ...(page + 1 < pages.length ? { nextCursor: String(page + 1) } : {}) }
    })
    server.setRequestHandler('tools/call', ({ params }, { mcpReq: { signal } }) => call(params.name, params.arguments ?? {}, signal))
    return server
  }
  const openTransport = async () => {
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      enableJsonResponse: json,
      onsessioninitialized: id => { transports.set(id, transport); double.sessions.add(id) },
      onsessionclosed: id => { double.sessions.delete(id); end() }
    })
    await createProtocol().connect(transport)
    return transport
  }
  const handler = createMcpHandler(createProtocol, { legacy: era === 'newer' ? 'reject' : 'stateless', responseMode: json ? 'json' : 'sse' })
  const handle = async (request: Request): Promise<Response> => {
    if (era !== 'older') return handler.fetch(request)
    const id = request.headers.get('mcp-session-id')
    const known = id === null ? undefined : transports.get(id)
    // The transport itself would answer by 400: no session is initialized in it.
    if (id !== null && !known) return Response.json({ jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } }, { status: 404 })
    return (known ?? await openTransport()).handleRequest(request)
  }
  const http = createServer(async (request, response) => {
    const asked: Asked = { method: request.method!, headers: request.headers }
    double.asked.push(asked)
    if (before?.(request, response, double.asked.length)) return
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    const parsed = body === '' ? {} : JSON.parse(body)
    asked.rpc = parsed.method
    if (answer?.(parsed, response)) return
    await pass(await handle(toRequest(request, body, response)), response)
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  t.teardown(() => {
    http.closeAllConnections()
    http.close()
  })
  double.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`
  return double
}

/** Its signal is aborted when the client leaves before the end. */
function toRequest ({ method, headers, url }: IncomingMessage, body: string, response: ServerResponse): Request {
  const left = new AbortController()
  response.once('close', () => left.abort())
  const pairs = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)])
  return new Request(new URL(url!, `http://${headers.host}`), { method, headers: pairs, body: body === '' ? undefined : body, signal: left.signal })
}

async function pass (answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers)).flushHeaders()
  if (!answer.body) {
    response.end()
    return
  }
  Readable.fromWeb(answer.body as ReadableStream).on('error', () => response.destroy()).pipe(response)
}
