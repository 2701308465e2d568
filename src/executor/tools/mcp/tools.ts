import type { AgentFunction } from '#shared/agent.ts'
import { textIn, wordsIn } from '../function-config.js'
import { readHeaders } from '../outbound/headers.js'
import type { Outbound } from '../outbound/outbound.js'
import { firstHop } from '../outbound/redirect.js'
import { shorten } from '../result-text.js'
import type { ToolNames } from '../tool-names.js'
import { type Tool, ToolError } from '../tool.js'
import { connectMcp, type McpSession, type McpTool } from './session.js'

/** Milliseconds for a server to say what tools it has, from the first packet on. */
const LIST_TIMEOUT = 5000
/** What the protocol's own clients wait for a tool. */
const CALL_TIMEOUT = 60_000
const MAX_SERVERS = 16
const MAX_TOOLS = 128
/** Characters of a tool's schema, all of which go to the model with every step. */
const MAX_SCHEMA = 32_000
const MAX_DESCRIPTION = 4000

export interface McpOptions {
  outbound: Outbound
  /** Names that are taken; those of these tools are added. */
  names: ToolNames
  signal: AbortSignal
  /** Tells the operators. */
  log (message: string, fields: Record<string, unknown>): void
  listTimeout?: number
  callTimeout?: number
}

export interface McpTools {
  tools: Tool[]
  /** Ends the sessions; never rejects. */
  close (): Promise<void>
}

/**
 * The tools of the MCP servers that functions of the type `mcp` name: {url, headers_json, allowed_tools}. A server that
 * cannot be used costs its tools and a line in the log.
 * @throws the signal's reason, when it is aborted; nothing else.
 */
export async function openMcpTools (functions: readonly AgentFunction[], options: McpOptions): Promise<McpTools> {
  const servers = functions.filter(({ type }) => type === 'mcp').slice(0, MAX_SERVERS)
  const opened = await Promise.all(servers.map(fn => open(fn, options)))
  const sessions = opened.flatMap(server => server?.session ?? [])
  const close = async (): Promise<void> => { await Promise.all(sessions.map(session => session.close())) }
  if (options.signal.aborted) {
    await close()
    options.signal.throwIfAborted()
  }
  const tools = opened.flatMap(server => server?.tools.map(tool => makeTool(tool, server, options)) ?? [])
  return { tools, close }
}

interface Server { fn: AgentFunction, session: McpSession, tools: McpTool[] }

async function open (fn: AgentFunction, options: McpOptions): Promise<Server | undefined> {
  const { outbound, signal, log, listTimeout = LIST_TIMEOUT, callTimeout = CALL_TIMEOUT } = options
  let host: string | undefined
  try {
    const { url, headers } = firstHop({ url: textIn(fn.config, 'url'), headers: readHeaders(fn.config.headers_json) })
    host = url.host
    const { session, tools } = await connectMcp({ url, headers, outbound, signal, listTimeout, callTimeout, maxTools: MAX_TOOLS })
    try {
      return { fn, session, tools: choose(tools, fn) }
    } catch (error) {
      // A schema may be nested too deep to be written.
      await session.close()
      throw error
    }
  } catch (error) {
    if (!signal.aborted) log('MCP server left out', { host, reason: error instanceof ToolError ? error.message : 'failed' })
    return undefined
  }
}

/** Those that the function allows, all where it names none; none that a model could not be told of. */
function choose (tools: McpTool[], { config }: AgentFunction): McpTool[] {
  const allowed = wordsIn(config.allowed_tools)
  return tools.filter(({ name, schema }) =>
    (allowed.length === 0 || allowed.includes(name.toLowerCase())) && JSON.stringify(schema).length <= MAX_SCHEMA)
}

function makeTool ({ name, description, schema }: McpTool, { fn, session }: Server, { names }: McpOptions): Tool {
  return {
    name: names.take(name, fn.name),
    description: shorten(description ?? name, MAX_DESCRIPTION),
    parameters: schema,
    call: (args, { signal }) => session.call(name, args, signal)
  }
}
