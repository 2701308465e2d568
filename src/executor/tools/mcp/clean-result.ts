import { textOfResult } from './result.js'

/** How many items of a result are looked at: tools of a page, or parts of what a tool returns. */
const MAX_ITEMS = 200

/** Where a cleaned list has its tools: the SDK does not know it, and so leaves them alone. */
export const TOOLS = Symbol('tools')

/** A tool as a server lists it. */
export interface McpTool { name: string, description?: string, schema: object }

/** A page of tools, and how many of them are none. */
export interface ToolPage { tools: McpTool[], bad: number }

export type Result = Record<string | symbol, unknown>

/**
 * Leaves of a server's result what is used here. The SDK checks all the rest as well: one tool or part that it does not
 * know would cost all others, and to check a part takes many times as long as to parse it.
 */
export function cleanResult (result: Result): Result {
  if (Array.isArray(result.tools)) return cleanList(result, result.tools)
  if ('content' in result || 'structuredContent' in result) return cleanCall(result)
  return result
}

function cleanList ({ resultType = 'complete', nextCursor }: Result, list: unknown[]): Result {
  const read = list.slice(0, MAX_ITEMS).map(readTool)
  const tools = read.filter(tool => tool !== undefined)
  const page: ToolPage = { tools, bad: read.length - tools.length }
  return { resultType, ttlMs: 0, cacheScope: 'private', tools: [], ...(typeof nextCursor === 'string' ? { nextCursor } : {}), [TOOLS]: page }
}

/** Undefined if it has no name, or its schema is not one of an object. */
function readTool (item: unknown): McpTool | undefined {
  if (typeof item !== 'object' || item === null) return undefined
  const { name, description, inputSchema } = item as Record<string, unknown>
  const schema: unknown = inputSchema ?? {}
  if (typeof name !== 'string' || name === '' || typeof schema !== 'object' || schema === null || Array.isArray(schema)) return undefined
  const { type = 'object' } = schema as { type?: unknown }
  if (type !== 'object') return undefined
  return { name, ...(typeof description === 'string' ? { description } : {}), schema: { ...schema, type } }
}

/** Turns all that a tool has returned into one text. */
function cleanCall ({ resultType = 'complete', content, structuredContent, isError }: Result): Result {
  const parts = Array.isArray(content) ? content.slice(0, MAX_ITEMS) : content
  return { resultType, content: [{ type: 'text', text: textOfResult({ content: parts, structuredContent }) }], isError: isError === true }
}
