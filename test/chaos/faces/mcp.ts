import { setTimeout as delay } from 'node:timers/promises'
import { type CallToolResult, Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { PATIENCE_MS, PAUSE_MS } from './broken.js'
import type { FaceClient, Question } from './faces.js'

/** A connection whose process was killed says nothing: the client gives a call up, and asks for the same run again. */
const CALL_MS = 15_000

/** What the service has said of a call. */
class ToolFailure extends Error {}

/** The official client, of a program that calls a tool again whose connection broke, by the same key. */
export function loadMcp (): FaceClient {
  return {
    async ask (question) {
      for (const until = Date.now() + PATIENCE_MS; ;) {
        try {
          return textOf(await call(question))
        } catch (error) {
          if (error instanceof ToolFailure || Date.now() > until) throw error
          await delay(PAUSE_MS)
        }
      }
    },
    isTyped: error => error instanceof ToolFailure || /^(Sdk|Protocol|Mcp)/.test(error.constructor.name)
  }
}

async function call ({ name, url, token, agentId }: Question): Promise<CallToolResult> {
  const client = new Client({ name: 'chaos', version: '1.0' }, { versionNegotiation: { mode: 'auto' } })
  const headers = { authorization: `Bearer ${token}`, 'idempotency-key': name }
  try {
    await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit: { headers } }))
    return await client.callTool({ name: agentId, arguments: { message: name } }, { timeout: CALL_MS })
  } finally {
    await client.close().catch(() => {})
  }
}

function textOf ({ content, isError, _meta: meta }: CallToolResult): string {
  const text = content.map(part => part.type === 'text' ? part.text : '').join('')
  const failure = meta?.['jeesi/error'] as { retryable?: boolean } | undefined
  if (isError && failure?.retryable) throw new Error(text)
  if (isError) throw new ToolFailure(text)
  return text
}
