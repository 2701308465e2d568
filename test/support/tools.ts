import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { AgentFunction } from '#shared/agent.ts'
import type { FunctionEvent } from '#shared/functions/triggered.ts'
import type { FunctionContext } from '../../src/executor/tools/function-kind.js'
import type { ConnectorOptions } from '../../src/executor/tools/outbound/connector.js'
import { Outbound } from '../../src/executor/tools/outbound/outbound.js'
import { ToolError } from '../../src/executor/tools/tool.js'

/** A request that a server received. */
export interface ReceivedRequest { method: string, url: string, headers: IncomingMessage['headers'], body: string }

export interface Server {
  url: string
  port: number
  requests: ReceivedRequest[]
  /** Resolves with the next request. */
  next (): Promise<ReceivedRequest>
}

export type Responder = (response: ServerResponse, request: ReceivedRequest, number: number) => void

/** Starts an HTTP server on loopback that responds as the test defines. */
export async function startServer (t: Test, responder: Responder, host = '127.0.0.1'): Promise<Server> {
  let waiting: Array<(request: ReceivedRequest) => void> = []
  const server: Server = { url: '', port: 0, requests: [], next: () => new Promise(resolve => { waiting.push(resolve) }) }
  const http = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const received = { method: request.method!, url: request.url!, headers: request.headers, body: Buffer.concat(chunks).toString() }
    server.requests.push(received)
    for (const resolve of waiting) resolve(received)
    waiting = []
    responder(response, received, server.requests.length)
  })
  http.listen(0, host)
  await once(http, 'listening')
  t.teardown(() => {
    http.closeAllConnections()
    http.close()
  })
  server.port = (http.address() as AddressInfo).port
  server.url = `http://${host.includes(':') ? `[${host}]` : host}:${server.port}`
  return server
}

/** Responds with a status and JSON. */
export function respond (status: number, body: unknown = {}, headers: Record<string, string> = {}): Responder {
  return response => { response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body)) }
}

/** An outbound client that may by default connect to loopback. */
export function openOutbound (t: Test, options: ConnectorOptions = { privateHosts: [{ host: '127.0.0.1' }] }): Outbound {
  const outbound = new Outbound(options)
  t.teardown(() => outbound.close())
  return outbound
}

export const AGENT = '22222222-2222-4222-8222-222222222222'
const RUN = '99999999-9999-4999-8999-999999999999'

export interface TestContext extends FunctionContext { events: FunctionEvent[], logged: Array<Record<string, unknown>> }

/** A run's context that keeps its events and log lines. */
export function createContext (t: Test, fields: Partial<FunctionContext> = {}): TestContext {
  const events: FunctionEvent[] = []
  const logged: Array<Record<string, unknown>> = []
  return {
    runId: RUN,
    agentId: AGENT,
    userId: '11111111-1111-4111-8111-111111111111',
    signal: new AbortController().signal,
    outbound: fields.outbound ?? openOutbound(t),
    emit: event => { events.push(event) },
    log: (message, fields) => { logged.push({ message, ...fields }) },
    events,
    logged,
    ...fields
  }
}

export function fn (type: string, config: Record<string, unknown>, fields: Partial<AgentFunction> = {}): AgentFunction {
  return { name: type, type, triggerKeywords: ['go'], config, ...fields }
}

/** The sentence of the ToolError that a promise rejects with. */
export async function failureOf (promise: Promise<unknown> | (() => unknown)): Promise<string> {
  try {
    await (typeof promise === 'function' ? promise() : promise)
  } catch (error) {
    if (error instanceof ToolError) return error.message
    throw error
  }
  throw new Error('It did not fail.')
}
