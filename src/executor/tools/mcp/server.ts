import type { TraceContext } from '#shared/traces/trace-context.ts'
import type { Outbound } from '../outbound/outbound.js'
import type { RequestOwner } from '../outbound/permits.js'

/** An MCP server, and the limits of a session with it. */
export interface McpServer {
  url: URL
  headers: Record<string, string>
  outbound: Outbound
  owner: RequestOwner
  signal: AbortSignal
  /** The trace that all requests hand on. */
  trace?: TraceContext
  /** Milliseconds. */
  listTimeout: number
  callTimeout: number
  maxTools: number
}
