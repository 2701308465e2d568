import type { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { Deadline } from '../../../lib/deadline.js'
import { shorten } from '#shared/functions/result-text.ts'
import { ToolError } from '../tool.js'
import { createMcpFetch, INTERRUPTED } from './fetch.js'
import { LimitedTransport } from './limited-transport.js'
import { textOfResult } from './result.js'
import type { McpServer } from './server.js'

const MAX_PAGES = 20

export interface McpTool { name: string, description?: string, schema: object }

export interface McpSession {
  /** @throws {ToolError} with a sentence for the model; the signal's reason once it is aborted. */
  call (name: string, args: Record<string, unknown>, signal: AbortSignal): Promise<string>
  /** Never rejects. */
  close (): Promise<void>
}

/** Loads the SDK on demand: it takes as long as the rest of the service, and most agents have no MCP server. */
async function loadSdk () {
  const [{ Client }, { StreamableHTTPClientTransport }, schemas] = await Promise.all([
    import('@modelcontextprotocol/sdk/client/index.js'),
    import('@modelcontextprotocol/sdk/client/streamableHttp.js'),
    import('@modelcontextprotocol/sdk/types.js')
  ])
  return { Client, StreamableHTTPClientTransport, ...schemas }
}

/**
 * Opens a session with an MCP server over streamable HTTP, and lists its tools.
 * @throws {ToolError} with the reason why the server cannot be used; the signal's reason once it is aborted.
 */
export async function connectMcp (server: McpServer): Promise<{ session: McpSession, tools: McpTool[] }> {
  const { Client, StreamableHTTPClientTransport } = await loadSdk()
  const { listTimeout, signal, url } = server
  const client = new Client({ name: 'jeesi-railway-backend', version: '1.0' }, { capabilities: {} })
  const fetch = createMcpFetch(server, response => transport.receive(response))
  const transport = new LimitedTransport(new StreamableHTTPClientTransport(url, { fetch }))
  const session = new Session(client, transport, server)
  const deadline = new Deadline(listTimeout, signal, new ToolError(`${url.hostname} did not list its tools within ${listTimeout / 1000} seconds.`))
  try {
    // The SDK has no limit for the notification that follows the server's first answer.
    await beforeAbort(client.connect(transport, { signal: deadline.signal, timeout: listTimeout }), deadline.signal)
    return { session, tools: await session.list(deadline.signal) }
  } catch (error) {
    session.close()
    deadline.signal.throwIfAborted()
    throw describeFailure(error, url.hostname)
  } finally {
    deadline.clear()
  }
}

/** Rejects with the signal's reason once it is aborted. */
function beforeAbort<T> (promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

class Session implements McpSession {
  constructor (
    private readonly client: Client, private readonly transport: LimitedTransport, private readonly server: McpServer
  ) {}

  async list (signal: AbortSignal): Promise<McpTool[]> {
    const { ListToolsResultSchema } = await loadSdk()
    const { listTimeout: timeout, maxTools } = this.server
    const tools: McpTool[] = []
    let cursor: string | undefined
    for (let page = 0; page < MAX_PAGES && tools.length < maxTools; page++) {
      // Not with listTools: it compiles the schemas of results, and fails if one of them is invalid.
      const result = await this.client.request({ method: 'tools/list', params: { cursor } }, ListToolsResultSchema, { signal, timeout })
      tools.push(...result.tools.map(({ name, description, inputSchema }) => ({ name, description, schema: inputSchema })))
      if (!result.nextCursor || result.nextCursor === cursor) break
      cursor = result.nextCursor
    }
    return tools.slice(0, maxTools)
  }

  async call (name: string, args: Record<string, unknown>, signal: AbortSignal): Promise<string> {
    const { CallToolResultSchema } = await loadSdk()
    try {
      const options = { signal, timeout: this.server.callTimeout }
      const result = await this.client.request({ method: 'tools/call', params: { name, arguments: args } }, CallToolResultSchema, options)
      const text = textOfResult(result)
      if (result.isError) throw new ToolError(text || 'The tool failed.')
      return text
    } catch (error) {
      signal.throwIfAborted()
      // A server's error about a call is for the model. Errors before it are not shown, because they may quote a header.
      if (isServerError(error)) throw new ToolError(shorten(withoutPrefix(error.message), MAX_SERVER_ERROR))
      throw describeFailure(error, this.server.url.hostname)
    }
  }

  /** Ends the session at the server, which may ignore it. */
  async close (): Promise<void> {
    await this.transport.terminateSession().catch(() => {})
    await this.client.close().catch(() => {})
  }
}

/** The largest of JSON-RPC's reserved codes. The SDK's own code of a timeout is among them. */
const LAST_CODE = -32000
const TIMED_OUT = -32001
const MAX_SERVER_ERROR = 2000

function isServerError (error: unknown): error is Error {
  const { code } = error as { code?: unknown }
  return error instanceof Error && typeof code === 'number' && code < LAST_CODE && code !== TIMED_OUT
}

function withoutPrefix (message: string): string {
  return message.replace(/^MCP error -?\d+: /, '')
}

function describeFailure (error: unknown, host: string): ToolError {
  if (error instanceof ToolError) return error
  const { code, message = '' } = error as { code?: unknown, message?: string }
  if (code === INTERRUPTED) return new ToolError(withoutPrefix(message))
  if (code === TIMED_OUT) return new ToolError(`${host} did not answer in time.`)
  if (code === 401 || code === 403) return new ToolError(`${host} asks for other credentials (status ${code}).`)
  if (typeof code === 'number' && code >= 300 && code < 600) return new ToolError(`${host} answered with status ${code}.`)
  return new ToolError(`${host} does not speak MCP over streamable HTTP.`)
}
