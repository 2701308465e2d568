import type { FunctionKind } from '../function-kind.js'
import { openMcpTools } from '../mcp/tools.js'

/** An MCP server {url, headers_json, allowed_tools}, whose tools are offered to the model. */
export const mcp: FunctionKind = {
  trigger: null,
  call: null,
  open: (functions, { outbound }, context) => openMcpTools(functions, { outbound, ...context })
}
