import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const PIECES = 20
const PIECE_MS = 10
/** A longer request is an attacker's: parsing it would delay the answers to honest users. */
const MAX_PARSED = 64 * 1024
/** What a hostile gateway sends in one name, at the most. */
const ENDLESS_BYTES = 400 * 1024 * 1024
const BLOCK = 'x'.repeat(64 * 1024)

/** The answer to an honest user's question. */
export function expectedAnswer (question: string): string {
  return piecesOf(question).join('')
}

/** How long the model itself takes for an answer, in milliseconds. */
export const ANSWER_MS = PIECES * PIECE_MS

/** A gateway that answers honest users in small pieces, and attackers as they ask it to. */
export interface SiegeModel {
  /** Base URL. */
  url: string
  /** Requests of honest users that did not have what all of them have: something was learned from strangers. */
  altered: number
  close (): void
}

export async function startModel (): Promise<SiegeModel> {
  const model: SiegeModel = { url: '', altered: 0, close () {} }
  const server = createServer(async (request, response) => {
    const text = await readBody(request)
    const body = text ? JSON.parse(text) : undefined
    const question = String(body?.messages.at(-1).content ?? '')
    response.on('error', () => {})
    if (question.startsWith('siege:')) return answerAttacker(response, question.split(':')[1]!, body)
    if (body && (body.temperature === undefined || body.stream_options === undefined)) model.altered++
    await answer(response, question)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  model.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  model.close = () => {
    server.closeAllConnections()
    server.close()
  }
  return model
}

/** Undefined if it is too long to be parsed. */
async function readBody (request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request) {
    length += chunk.length
    if (length <= MAX_PARSED) chunks.push(chunk)
  }
  return length <= MAX_PARSED ? Buffer.concat(chunks).toString() : undefined
}

function piecesOf (question: string): string[] {
  return Array.from({ length: PIECES }, (_, n) => `${n}:${question.slice(0, 40)} `)
}

async function answer (response: ServerResponse, question: string): Promise<void> {
  beginStream(response)
  for (const piece of piecesOf(question)) {
    if (response.destroyed) return
    send(response, { content: piece })
    await delay(PIECE_MS)
  }
  endStream(response, 'stop')
}

async function answerAttacker (response: ServerResponse, wish: string, body: any): Promise<void> {
  const hasResults = body.messages.some((message: any) => message.role === 'tool')
  if (wish === 'calls' && !hasResults) {
    beginStream(response)
    const { name } = body.tools[0].function
    const args = JSON.stringify({ value: 'x' })
    send(response, { tool_calls: Array.from({ length: 128 }, (_, index) => ({ index, id: `call_${index}`, type: 'function', function: { name, arguments: args } })) })
    return endStream(response, 'tool_calls')
  }
  if (wish === 'endless-name') return sendEndlessName(response)
  if (wish === 'refuse') {
    response.writeHead(400, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ error: { message: "Unsupported parameter: 'temperature' is not supported with this model, nor is stream_options.", type: 'invalid_request_error' } }))
    return
  }
  beginStream(response)
  send(response, { content: 'ok' })
  endStream(response, 'stop')
}

async function sendEndlessName (response: ServerResponse): Promise<void> {
  beginStream(response)
  response.write('data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_0","function":{"name":"')
  for (let sent = 0; sent < ENDLESS_BYTES && !response.destroyed; sent += BLOCK.length) {
    if (!response.write(BLOCK)) await drainedOrClosed(response)
  }
  response.end('"}}]}}]}\n\n')
}

function drainedOrClosed (response: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const goOn = () => {
      response.off('drain', goOn)
      response.off('close', goOn)
      resolve()
    }
    response.on('drain', goOn)
    response.on('close', goOn)
  })
}

function beginStream (response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
}

function send (response: ServerResponse, delta: object): void {
  response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta }] })}\n\n`)
}

function endStream (response: ServerResponse, reason: string): void {
  response.end(`data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: reason }] })}\n\ndata: [DONE]\n\n`)
}
