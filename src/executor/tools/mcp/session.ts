import type { StandardSchemaV1 } from '@modelcontextprotocol/client'
import { Deadline } from '../../../lib/deadline.js'
import { shorten } from '#shared/functions/result-text.ts'
import { ToolError } from '../tool.js'
import { type McpTool, TOOLS, type ToolPage } from './clean-result.js'
import { beforeAbort, closeConnection, type Connection, loadClient, openConnection } from './connection.js'
import { describeFailure, isSessionLost, serverSentence } from './failures.js'
import type { McpServer } from './server.js'

const MAX_PAGES = 20
const MAX_SERVER_ERROR = 2000

export interface McpSession {
  /** @throws {ToolError} with a sentence for the model; the signal's reason once it is aborted. */
  call (tool: McpTool, args: Record<string, unknown>, signal: AbortSignal): Promise<string>
  /** Never rejects. */
  close (): Promise<void>
}

/**
 * Connects to an MCP server over streamable HTTP, and lists its tools.
 * @throws {ToolError} with the reason why the server cannot be used; the signal's reason once it is aborted.
 */
export async function connectMcp (server: McpServer): Promise<ToolPage & { session: McpSession }> {
  await loadClient()
  const deadline = deadlineOf(server)
  let session: Session | undefined
  try {
    session = new Session(await openConnection(server, deadline.signal), server)
    return { session, ...await session.list(deadline.signal) }
  } catch (error) {
    session?.close()
    deadline.signal.throwIfAborted()
    throw describeFailure(error, server.url.hostname)
  } finally {
    deadline.clear()
  }
}

/** For the first contact with a server, or with one that has lost its session. */
function deadlineOf ({ listTimeout, signal, url }: McpServer): Deadline {
  return new Deadline(listTimeout, signal, new ToolError(`${url.hostname} did not list its tools within ${listTimeout / 1000} seconds.`))
}

/** A result that is a list of tools has them under the symbol. */
interface Listed { [TOOLS]?: ToolPage, nextCursor?: string }

/** Accepts any result: what is used of it has been read already. */
const ANYTHING: StandardSchemaV1<unknown, Listed> = { '~standard': { version: 1, vendor: 'jeesi', validate: value => ({ value: value as Listed }) } }

class Session implements McpSession {
  #connection: Promise<Connection>
  /** Those whose sessions the server has lost: calls may be under way on them. */
  #lost: Connection[] = []

  constructor (connection: Connection, private readonly server: McpServer) {
    this.#connection = Promise.resolve(connection)
  }

  async list (signal: AbortSignal): Promise<ToolPage> {
    const { client } = await this.#connection
    const { listTimeout: timeout, maxTools } = this.server
    const tools: McpTool[] = []
    let bad = 0
    let cursor: string | undefined
    for (let page = 0; page < MAX_PAGES && tools.length < maxTools; page++) {
      const result = await client.request({ method: 'tools/list', params: { cursor } }, ANYTHING, { signal, timeout })
      const listed = result[TOOLS]
      if (!listed) throw new ToolError(`${this.server.url.hostname} lists its tools otherwise than MCP has it.`)
      tools.push(...listed.tools)
      bad += listed.bad
      if (!result.nextCursor || result.nextCursor === cursor) break
      cursor = result.nextCursor
    }
    return { tools: tools.slice(0, maxTools), bad }
  }

  async call (tool: McpTool, args: Record<string, unknown>, signal: AbortSignal): Promise<string> {
    try {
      const { text, isError } = await this.#callAnyhow(tool, args, signal)
      if (isError) throw new ToolError(text || 'The tool failed.')
      return text
    } catch (error) {
      signal.throwIfAborted()
      // A server's error about a call is for the model. Errors before it are not shown, because they may quote a header.
      const sentence = serverSentence(error)
      if (sentence !== undefined) throw new ToolError(shorten(sentence, MAX_SERVER_ERROR))
      throw describeFailure(error, this.server.url.hostname)
    }
  }

  async close (): Promise<void> {
    const connection = await this.#connection.catch(() => undefined)
    // A server does not end sessions that it has lost.
    for (const { client } of this.#lost) client.close().catch(() => {})
    if (connection) await closeConnection(connection)
  }

  /** Once more if the server has lost the session, in a new one. */
  async #callAnyhow (tool: McpTool, args: Record<string, unknown>, signal: AbortSignal): Promise<{ text: string, isError: boolean }> {
    const connection = await beforeAbort(this.#connection, signal)
    try {
      return await this.#callOnce(connection, tool, args, signal)
    } catch (error) {
      if (signal.aborted || connection.transport.sessionId === undefined || !isSessionLost(error)) throw error
      return await this.#callOnce(await beforeAbort(this.#renew(connection), signal), tool, args, signal)
    }
  }

  async #callOnce ({ client }: Connection, { name, schema }: McpTool, args: Record<string, unknown>, signal: AbortSignal): Promise<{ text: string, isError: boolean }> {
    const { content, isError = false } = await client.callTool({ name, arguments: args }, {
      signal,
      timeout: this.server.callTimeout,
      // By its schema, which may name arguments that are sent as headers too.
      toolDefinition: { name, inputSchema: schema as { type: 'object' } }
    })
    const [part] = content
    return { text: part?.type === 'text' ? part.text : '', isError }
  }

  /** Begins a new session in place of a lost one; of several calls that find it lost the first does. */
  #renew (lost: Connection): Promise<Connection> {
    if (this.#lost.includes(lost)) return this.#connection
    this.#lost.push(lost)
    const deadline = deadlineOf(this.server)
    const renewed = openConnection(this.server, deadline.signal).finally(() => deadline.clear())
    // Where that fails, the next call tries it again.
    this.#connection = renewed.catch(() => {
      this.#lost = this.#lost.filter(connection => connection !== lost)
      return lost
    })
    return renewed
  }
}
