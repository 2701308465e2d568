import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

/** What the service sent to the gateway. */
export interface Call {
  /** With its query. */
  path: string
  headers: IncomingMessage['headers']
  body: any
  /** Resolves when the service has closed its side, or the answer is through. */
  closed: Promise<unknown>
}

export type Reply = (response: ServerResponse, call: Call, number: number) => void | Promise<void>

/**
 * A stand-in for the AI gateway, which cannot be had here: a real HTTP server that speaks the OpenAI protocol and
 * answers as the test says.
 */
export interface GatewayDouble {
  url: string
  /** Calls of /chat/completions so far. */
  calls: Call[]
  /** How the calls to come are answered. `number` counts from 1. */
  reply: Reply
  /** How GET /models is answered: the ids, or undefined for 404. */
  models?: string[]
  /** Answers GET instead, whatever the path. */
  onGet?: (response: ServerResponse, path: string) => void
  /** Resolves with the next call that arrives. */
  nextCall (): Promise<Call>
}

export async function startGateway (t: Test, reply: Reply = say('Hello', ' world')): Promise<GatewayDouble> {
  let waiting: Array<(call: Call) => void> = []
  const gateway: GatewayDouble = {
    url: '',
    calls: [],
    reply,
    nextCall: () => new Promise(resolve => { waiting.push(resolve) })
  }
  const server = createServer(async (request, response) => {
    if (request.method === 'GET' && gateway.onGet) return gateway.onGet(response, request.url!)
    if (request.method === 'GET') return json(response, gateway.models ? 200 : 404, { data: gateway.models?.map(id => ({ id })) })
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = JSON.parse(Buffer.concat(chunks).toString())
    const call = { path: request.url!, headers: request.headers, body, closed: once(response, 'close') }
    gateway.calls.push(call)
    for (const resolve of waiting) resolve(call)
    waiting = []
    await gateway.reply(response, call, gateway.calls.length)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  gateway.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  return gateway
}

/** One chunk of a streamed completion as the protocol has it. */
export function frame (fields: object): string {
  return `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', model: 'test/model', ...fields })}\n\n`
}

export function delta (content: string): string {
  return frame({ choices: [{ index: 0, delta: { content } }] })
}

export const USAGE = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }

export function ending (finishReason = 'stop'): string {
  return frame({ choices: [{ index: 0, delta: {}, finish_reason: finishReason }] }) +
    frame({ choices: [], usage: USAGE }) + 'data: [DONE]\n\n'
}

export function openStream (response: ServerResponse): ServerResponse {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
  return response
}

/** Says these pieces, one frame each, and ends as a gateway should. */
export function say (...pieces: string[]): Reply {
  return response => { openStream(response).end(pieces.map(delta).join('') + ending()) }
}

/** Refuses with a status and an error in the protocol's shape. */
export function refuse (status: number, message = 'refused', headers: Record<string, string> = {}): Reply {
  return refuseWith(status, { error: { message } }, headers)
}

/** Refuses with a status and any body. */
export function refuseWith (status: number, body: object, headers: Record<string, string> = {}): Reply {
  return response => json(response, status, body, headers)
}

/** Refuses a parameter as OpenAI does. */
export function refuseParameter (param: string, code = 'unsupported_parameter'): Reply {
  const message = `Unsupported parameter: '${param}' is not supported with this model.`
  return refuseWith(400, { error: { message, type: 'invalid_request_error', param, code } })
}

/** Says the first pieces and then nothing, until the test says more on the returned function's response. */
export function hang (...pieces: string[]): Reply {
  return response => { openStream(response).write(pieces.map(delta).join('') || ': waiting\n\n') }
}

/** Answers each call by the reply at its place, the last one from there on. */
export function inTurn (...replies: Reply[]): Reply {
  return (response, call, number) => replies[Math.min(number, replies.length) - 1]!(response, call, number)
}

function json (response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}
