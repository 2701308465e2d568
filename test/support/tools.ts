import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { AgentFunction } from '#shared/agent.ts'
import type { FunctionContext, FunctionEvent } from '../../src/executor/tools/functions/triggered.js'
import type { ConnectorOptions } from '../../src/executor/tools/outbound/connector.js'
import { Outbound } from '../../src/executor/tools/outbound/outbound.js'
import { ToolError } from '../../src/executor/tools/tool.js'

/** What a server was asked. */
export interface Asked { method: string, url: string, headers: IncomingMessage['headers'], body: string }

export interface Server {
  url: string
  port: number
  asked: Asked[]
  /** Resolves with the next request. */
  next (): Promise<Asked>
}

export type Answer = (response: ServerResponse, asked: Asked, number: number) => void

/** A real HTTP server on loopback that answers as the test says. */
export async function startServer (t: Test, answer: Answer, host = '127.0.0.1'): Promise<Server> {
  let waiting: Array<(asked: Asked) => void> = []
  const server: Server = { url: '', port: 0, asked: [], next: () => new Promise(resolve => { waiting.push(resolve) }) }
  const http = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const asked = { method: request.method!, url: request.url!, headers: request.headers, body: Buffer.concat(chunks).toString() }
    server.asked.push(asked)
    for (const resolve of waiting) resolve(asked)
    waiting = []
    answer(response, asked, server.asked.length)
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

/** Answers with a status and JSON. */
export function say (status: number, body: unknown = {}, headers: Record<string, string> = {}): Answer {
  return response => { response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body)) }
}

/** An outbound client that may reach loopback, unless told otherwise. */
export function openOutbound (t: Test, options: ConnectorOptions = { privateHosts: [{ host: '127.0.0.1' }] }): Outbound {
  const outbound = new Outbound(options)
  t.teardown(() => outbound.close())
  return outbound
}

export const AGENT = '22222222-2222-4222-8222-222222222222'
export const RUN = '99999999-9999-4999-8999-999999999999'

export interface Context extends FunctionContext { told: FunctionEvent[], logged: Array<Record<string, unknown>> }

/** The context of a run, made by hand. */
export function createContext (t: Test, fields: Partial<FunctionContext> = {}): Context {
  const told: FunctionEvent[] = []
  const logged: Array<Record<string, unknown>> = []
  return {
    runId: RUN,
    agentId: AGENT,
    userId: '11111111-1111-4111-8111-111111111111',
    signal: new AbortController().signal,
    outbound: fields.outbound ?? openOutbound(t),
    emit: event => { told.push(event) },
    log: (message, fields) => { logged.push({ message, ...fields }) },
    told,
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
