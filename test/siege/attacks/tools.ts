import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Attack, execute, repeat } from './attack.js'

const CREDITS = 1000
/** Sent in one piece: as many small packets would slow the machine's network down, which has the database behind it too. */
const PINGS = Array.from({ length: 20_000 }, (_, n) => `data: {"jsonrpc":"2.0","id":"p${n}","method":"ping"}\n\n`).join('')
const WEBHOOKS = 100

/** A tool server that asks the service itself: 20,000 pings in each answer, on sixteen functions. */
export const mcpPings: Attack = {
  async prepare (world) {
    const user = await world.createUser(CREDITS)
    const { server, url } = await listen(answerWithPings)
    const functions = Array.from({ length: 16 }, (_, n) => ({ name: `server ${n}`, type: 'mcp', config: { url: `${url}/${n}` } }))
    const agentId = await world.createAgent(user, { isChecked: false, functions })
    return async signal => {
      await repeat(4, signal, n => execute(world.url(n), user, agentId, 'Hi', signal, false))
      server.closeAllConnections()
      server.close()
    }
  }
}

/** Webhooks to a server that never answers, a hundred a run. */
export const silentWebhooks: Attack = {
  async prepare (world) {
    const user = await world.createUser(CREDITS)
    const { server, url } = await listen(() => {})
    const functions = Array.from({ length: WEBHOOKS }, (_, n) => ({
      name: `webhook ${n}`, type: 'webhook', keywords: ['hi'], config: { webhook_url: `${url}/${n}`, trigger_event: 'on_keyword', payload_template: '{"content":"{{content}}"}' }
    }))
    const agentId = await world.createAgent(user, { isChecked: false, functions })
    return async signal => {
      await repeat(4, signal, n => execute(world.url(n), user, agentId, 'hi', signal, false))
      server.closeAllConnections()
      server.close()
    }
  }
}

function answerWithPings (request: IncomingMessage, response: ServerResponse): void {
  let body = ''
  request.on('data', chunk => { body += chunk })
  request.on('end', () => {
    const { id, method } = parse(body)
    if (method === undefined || id === undefined) return response.writeHead(202).end()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const result = method === 'initialize'
      ? { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'siege', version: '1' } }
      : { tools: [] }
    response.end(`${PINGS}data: ${JSON.stringify({ jsonrpc: '2.0', id, result })}\n\n`)
  })
}

function parse (body: string): { id?: unknown, method?: string } {
  try {
    return JSON.parse(body)
  } catch {
    return {}
  }
}

async function listen (answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<{ server: Server, url: string }> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
