import type { AgentFunction } from '#shared/agent.ts'
import { jsonSizeWithin } from '#shared/bounds/json-size.ts'
import { inTurn } from '#shared/bounds/turns.ts'
import { listIn, textIn } from '#shared/functions/function-config.ts'
import type { OpenContext, OpenedTools } from '../function-kind.js'
import { readHeaders } from '../outbound/headers.js'
import type { Outbound } from '../outbound/outbound.js'
import { firstHop } from '../outbound/redirect.js'
import { shorten } from '#shared/functions/result-text.ts'
import { type Tool, ToolError } from '../tool.js'
import type { McpTool } from './clean-result.js'
import { connectMcp, type McpSession } from './session.js'

/** Milliseconds to connect to a server and list its tools. */
const LIST_TIMEOUT = 5000
/** Milliseconds; the default of the protocol's own clients. */
const CALL_TIMEOUT = 60_000
const MAX_SERVERS = 16
const MAX_TOOLS = 128
/** Characters of a tool's schema. The whole schema is sent to the model in every step. */
const MAX_SCHEMA = 32_000
const MAX_DESCRIPTION = 4000

export interface McpOptions extends OpenContext {
  outbound: Outbound
  /** Milliseconds; only tests change them. */
  listTimeout?: number
  callTimeout?: number
}

/**
 * Opens the tools of the MCP servers that `mcp` functions configure: {url, headers_json, allowed_tools}. A server that
 * cannot be used is logged, and its tools are missing.
 * @throws the signal's reason once it is aborted; nothing else.
 */
export async function openMcpTools (functions: readonly AgentFunction[], options: McpOptions): Promise<OpenedTools> {
  const servers = functions.filter(({ type }) => type === 'mcp').slice(0, MAX_SERVERS)
  const opened = await Promise.all(servers.map(fn => openServer(fn, options)))
  const sessions = opened.flatMap(server => server?.session ?? [])
  const close = async (): Promise<void> => { await Promise.all(sessions.map(session => session.close())) }
  if (options.signal.aborted) {
    await close()
    options.signal.throwIfAborted()
  }
  const tools = opened.flatMap(server => server?.tools.map(tool => makeTool(tool, server, options)) ?? [])
  return { tools, close }
}

interface OpenServer { fn: AgentFunction, session: McpSession, tools: McpTool[] }

async function openServer (fn: AgentFunction, options: McpOptions): Promise<OpenServer | undefined> {
  const { outbound, owner, signal, trace, log, listTimeout = LIST_TIMEOUT, callTimeout = CALL_TIMEOUT } = options
  let host: string | undefined
  try {
    const { url, headers } = firstHop({ url: textIn(fn.config, 'url'), headers: readHeaders(fn.config.headers_json) })
    host = url.host
    const { session, tools, bad } = await connectMcp({ url, headers, outbound, owner, signal, trace, listTimeout, callTimeout, maxTools: MAX_TOOLS })
    if (bad > 0) log('MCP tools left out', { host, count: bad, reason: 'they have no name, or a schema that is not one of an object' })
    try {
      const wanted = selectTools(tools, fn)
      const fitting = await thoseThatFit(wanted)
      if (fitting.length < wanted.length) log('MCP tools left out', { host, count: wanted.length - fitting.length, reason: 'their schemas are too large' })
      return { fn, session, tools: fitting }
    } catch (error) {
      await session.close()
      throw error
    }
  } catch (error) {
    if (!signal.aborted) log('MCP server left out', { host, reason: error instanceof ToolError ? error.message : 'failed' })
    return undefined
  }
}

/** The tools that the function allows, or all if it lists none. */
function selectTools (tools: McpTool[], { config }: AgentFunction): McpTool[] {
  const allowed = listIn(config.allowed_tools)
  return tools.filter(({ name }) => allowed.length === 0 || allowed.includes(name.toLowerCase()))
}

/** Those whose schema is neither too large nor nested too deep. */
async function thoseThatFit (tools: McpTool[]): Promise<McpTool[]> {
  const fitting: McpTool[] = []
  for (const tool of tools) {
    if (await inTurn(() => jsonSizeWithin(tool.schema, MAX_SCHEMA)) !== undefined) fitting.push(tool)
  }
  return fitting
}

function makeTool (tool: McpTool, { fn, session }: OpenServer, { names }: McpOptions): Tool {
  const { name, description, schema } = tool
  return {
    name: names.take(name, fn.name),
    description: shorten(description ?? name, MAX_DESCRIPTION),
    parameters: schema,
    call: (args, { signal }) => session.call(tool, args, signal)
  }
}
