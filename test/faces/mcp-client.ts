import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type CallToolResult, Client, StreamableHTTPClientTransport, type Tool } from '@modelcontextprotocol/client'
import type { Test } from 'tap'
import { fetchForTest } from '../packages/fetch.js'
import { delta, ending, type GatewayDouble, openStream } from '../support/doubles/gateway.js'
import { DEMO_KEY, type Service } from '../support/helper.js'
import { until } from '../support/until.js'

export interface CallOptions {
  signal?: AbortSignal
  /** Milliseconds. */
  timeout?: number
  onprogress? (progress: { progress: number, total?: number, message?: string }): void
}

/** A program that is connected to the service by an official package. */
export interface McpClient {
  /** The version of the protocol that is spoken. */
  version?: string
  list (): Promise<Tool[]>
  /** Calls a tool with a message, or with these arguments. */
  call (name: string, message: string | Record<string, unknown>, options?: CallOptions): Promise<CallToolResult>
  /** Ends the connection, and what is open on it. */
  close (): Promise<void>
}

export interface ConnectOptions {
  /** By default those of the demo user's key. */
  headers?: Record<string, string>
}

export interface McpPackage {
  name: string
  era: '2025' | '2026'
  connect (t: Pick<Test, 'teardown'>, url: string, options?: ConnectOptions): Promise<McpClient>
}

const INFO = { name: 'test', version: '1.0' }
/** Longer than any test: what ends it is an event. */
const TIMEOUT = 200_000

/** An error of either package: of JSON-RPC it has a code and data, of HTTP a status. */
export interface McpFailure { code?: unknown, message: string, data?: { code?: string, runId?: string, retryable?: boolean, status?: number } }

/** What the package throws. */
export async function failureOf (promise: Promise<unknown>): Promise<McpFailure> {
  try {
    await promise
  } catch (error) {
    return error as McpFailure
  }
  throw new Error('nothing was thrown')
}

const toArguments = (message: string | Record<string, unknown>) => typeof message === 'string' ? { message } : message
const authorization = { authorization: `Bearer ${DEMO_KEY}` }

/** The current package, in one of the protocols that it speaks. */
function current (era: '2025' | '2026'): McpPackage {
  return {
    name: `client 2.4 in ${era}`,
    era,
    async connect (t, url, { headers = authorization } = {}) {
      const client = new Client(INFO, { versionNegotiation: { mode: era === '2025' ? 'legacy' : 'auto' } })
      const transport = new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit: { headers } })
      await client.connect(transport)
      t.teardown(() => client.close())
      return {
        version: client.getNegotiatedProtocolVersion(),
        list: async () => (await client.listTools()).tools,
        call: (name, message, options) => client.callTool({ name, arguments: toArguments(message) }, { timeout: TIMEOUT, ...options }),
        close: () => client.close()
      }
    }
  }
}

/** The package that knows the older protocol alone. */
async function older (directory: string): Promise<McpPackage> {
  const { resolve } = createRequire(join(directory, 'package.json'))
  const load = (path: string): Promise<any> => import(pathToFileURL(resolve(`@modelcontextprotocol/sdk/${path}`)).href)
  const [{ Client }, { StreamableHTTPClientTransport }] = await Promise.all([load('client/index.js'), load('client/streamableHttp.js')])
  return {
    name: 'sdk 1.32',
    era: '2025',
    async connect (t, url, { headers = authorization } = {}) {
      const client = new Client(INFO)
      const transport = new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit: { headers } })
      await client.connect(transport)
      t.teardown(() => client.close())
      return {
        version: transport.protocolVersion,
        list: async () => (await client.listTools()).tools,
        call: (name, message, options) => client.callTool({ name, arguments: toArguments(message) }, undefined, { timeout: TIMEOUT, ...options }),
        close: () => client.close()
      }
    }
  }
}

export const NEWEST = current('2026')

/** All that are promised; without the older package, where it cannot be fetched. */
export async function loadPackages (t: Pick<Test, 'comment'>): Promise<McpPackage[]> {
  const directory = await fetchForTest(t, 'mcp')
  return [NEWEST, current('2025'), ...directory === undefined ? [] : [await older(directory)]]
}

/** The text of a result, which is all of its content. */
export function textOf ({ content }: CallToolResult): string | undefined {
  const [part] = content
  return content.length === 1 && part?.type === 'text' ? part.text : undefined
}

/** What a result says beside its text. */
export function metaOf ({ _meta: meta }: CallToolResult): { run?: any, error?: any } {
  return { run: meta?.['jeesi/run'], error: meta?.['jeesi/error'] }
}

/** Has a model say the beginning, and the rest when the test says so. */
export function byHand (gateway: GatewayDouble, first: string): (rest: string) => void {
  let finish = (_rest: string) => {}
  gateway.reply = response => {
    openStream(response).write(delta(first))
    finish = rest => { response.end(delta(rest) + ending()) }
  }
  return rest => finish(rest)
}

/** The latest run of the demo user, once it has said this and goes on. */
export async function runUnderWay ({ request }: Service, said: string): Promise<string> {
  const { body } = await until(() => request('GET', '/api/runs?limit=1'), ({ body }) => body.runs[0]?.response === said && body.runs[0].finishedAt === null, 60)
  return body.runs[0].runId
}
