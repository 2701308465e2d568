import type { Test } from 'tap'
import type { AgentFunction } from '#shared/agent.ts'
import type { OpenedTools } from '../../../../src/executor/tools/function-kind.js'
import { type McpOptions, openMcpTools } from '../../../../src/executor/tools/mcp/tools.js'
import { ToolNames } from '../../../../src/executor/tools/tool-names.js'
import { createContext, fn } from '../../../support/tools.js'

export interface Opened extends OpenedTools {
  logged: Array<Record<string, unknown>>
  call (name: string, args?: Record<string, unknown>, signal?: AbortSignal): Promise<string>
}

/** Opens the tools of these functions' servers, which are closed after the test. */
export async function open (t: Test, functions: AgentFunction[], options: Partial<McpOptions> = {}): Promise<Opened> {
  const context = createContext(t)
  const opened = await openMcpTools(functions, { owner: context, outbound: context.outbound, names: new ToolNames(), signal: context.signal, log: context.log, ...options })
  t.teardown(() => opened.close())
  return {
    ...opened,
    logged: context.logged,
    call: (name, args = {}, signal = context.signal) => opened.tools.find(tool => tool.name === name)!.call(args, { ...context, signal })
  }
}

export const mcp = (url: string, config: Record<string, unknown> = {}, name = 'server') => fn('mcp', { url, ...config }, { name, triggerKeywords: [] })
