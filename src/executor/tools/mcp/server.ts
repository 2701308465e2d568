import type { Outbound } from '../outbound/outbound.js'

export interface McpServer {
  url: URL
  headers: Record<string, string>
  outbound: Outbound
  signal: AbortSignal
  /** Milliseconds. */
  listTimeout: number
  callTimeout: number
  maxTools: number
}
