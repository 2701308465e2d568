import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const MODEL = 'jeesi/demo-model'
/** In milliseconds. */
const WORD_PAUSE = 30
/** The part of the question that the answer repeats, in UTF-16 units. */
const MAX_REPEATED = 200

/**
 * Starts a stand-in for an AI gateway: an OpenAI-compatible server on the loopback interface that streams a fixed text
 * word by word. The embedded mode connects to it like to any gateway when none is configured.
 * @returns its base URL, and a function that closes it and its connections. It does not keep the process alive.
 */
export async function startDemoModel (): Promise<{ url: string, close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  server.unref()
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/v1`, close: () => closeServer(server) }
}

async function handle (request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url === '/v1/models') return sendJson(response, 200, { object: 'list', data: [{ id: MODEL, object: 'model' }] })
  if (request.method !== 'POST' || request.url !== '/v1/chat/completions') {
    return sendJson(response, 404, { error: { message: 'The demo model has no such address.' } })
  }
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const { messages, tools, max_tokens: maxTokens } = JSON.parse(Buffer.concat(chunks).toString())
  const call = chooseCall(messages, tools)
  if (call) streamCall(response, call)
  else await streamWords(response, compose(messages), messages, maxTokens)
}

interface Message { role: string, content: unknown }
interface Tool { function: { name: string, parameters?: { properties?: Record<string, { type?: string }> } } }

/** The tool that the question names, with the question for each text that it takes and its first number for each number. */
function chooseCall (messages: Message[], tools: Tool[] = []): { name: string, arguments: string } | undefined {
  const last = messages.at(-1)
  if (last?.role !== 'user') return undefined
  const question = textOf(last.content)
  const tool = tools.find(({ function: { name } }) => question.toLowerCase().includes(name.toLowerCase()))
  if (!tool) return undefined
  const number = Number(/-?\d+/.exec(question)?.[0] ?? 0)
  const values = Object.entries(tool.function.parameters?.properties ?? {})
    .map(([name, { type }]) => [name, type === 'string' ? question : type === 'number' || type === 'integer' ? number : undefined])
  return { name: tool.function.name, arguments: JSON.stringify(Object.fromEntries(values)) }
}

function streamCall (response: ServerResponse, call: { name: string, arguments: string }): void {
  const id = `chatcmpl-${Date.now()}`
  const delta = { role: 'assistant', content: null, tool_calls: [{ index: 0, id: `call_${Date.now()}`, type: 'function', function: call }] }
  const frames = [{ index: 0, delta }, { index: 0, delta: {}, finish_reason: 'tool_calls' }]
    .map(choice => `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', model: MODEL, choices: [choice] })}\n\n`)
  response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`${frames.join('')}data: [DONE]\n\n`)
}

function sendJson (response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

async function streamWords (response: ServerResponse, text: string, messages: unknown[], maxTokens = Infinity): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const id = `chatcmpl-${Date.now()}`
  const send = (fields: object) => response.write(
    `data: ${JSON.stringify({ id, object: 'chat.completion.chunk', model: MODEL, ...fields })}\n\n`)
  const words = text.match(/\S+\s*/g) ?? []
  const sent = words.slice(0, maxTokens)
  for (const word of sent) {
    if (response.destroyed) return
    send({ choices: [{ index: 0, delta: { content: word } }] })
    await delay(WORD_PAUSE)
  }
  send({ choices: [{ index: 0, delta: {}, finish_reason: sent.length < words.length ? 'length' : 'stop' }] })
  const promptTokens = Math.ceil(JSON.stringify(messages).length / 4)
  send({
    choices: [],
    usage: { prompt_tokens: promptTokens, completion_tokens: sent.length, total_tokens: promptTokens + sent.length }
  })
  response.end('data: [DONE]\n\n')
}

function compose (messages: Message[]): string {
  const last = messages.at(-1)
  if (last?.role === 'tool') return `The tool answers: ${cut(textOf(last.content))}`
  const question = textOf(messages.findLast(message => message.role === 'user')?.content)
  return `You said: "${cut(question)}". I am the built-in demo model of jeesi-railway-backend: I understand nothing, ` +
    'but every word came to you the way a real answer does, through a run with its own credits and event log. ' +
    'For a real model set AI_GATEWAY_URL to an OpenAI-compatible address (Ollama: http://localhost:11434/v1) ' +
    'or LOVABLE_API_KEY to your key, and start again.'
}

/** The cut may leave half of a surrogate pair at the end. */
function cut (text: string): string {
  return text.slice(0, MAX_REPEATED).replace(/[\ud800-\udbff]$/, '')
}

function textOf (content: unknown): string {
  if (typeof content === 'string') return content
  return Array.isArray(content) ? content.map(part => part.text ?? '').join(' ').trim() : ''
}

function closeServer (server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
