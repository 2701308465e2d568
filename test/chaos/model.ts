import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const STAMP = /@(\d+)\.(\d+)\//g

/** When a piece was said, in milliseconds since 1970, and to which replica. */
export interface Stamp { saidAt: number, maker: number }

/** What the model says to a question, but for its stamps; any reader can tell from it whether a piece is missing or doubled. */
export function expected (name: string): string[] {
  const length = 40 + [...name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 160
  return Array.from({ length }, (_, n) => `${name}:${n}é `)
}

/** A text without the stamps of its pieces. */
export function withoutStamps (text: string): string {
  return text.replace(STAMP, '')
}

export function stampsOf (text: string): Stamp[] {
  return [...text.matchAll(STAMP)].map(([, saidAt, maker]) => ({ saidAt: Number(saidAt), maker: Number(maker) }))
}

export interface Model {
  /** The gateway's address for a replica: what is said there bears its number. */
  url (replica: number): string
  close (): void
}

/** A model that says the text that belongs to the question, a piece every few milliseconds, and now and then breaks off. */
export async function startModel (random: () => number): Promise<Model> {
  const server = createServer(async (request, response) => {
    const maker = request.url!.split('/')[1]
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { messages } = JSON.parse(Buffer.concat(chunks).toString())
    if (random() < 0.05) return response.writeHead(503).end()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const breaksAt = random() < 0.05 ? Math.floor(random() * 50) : -1
    for (const [n, piece] of expected(messages.at(-1).content).entries()) {
      if (response.destroyed) return
      if (n === breaksAt) return response.destroy()
      const content = `@${Date.now()}.${maker}/${piece}`
      response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`)
      await delay(5 + 10 * random())
    }
    response.end('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: replica => `http://127.0.0.1:${port}/${replica}/v1`,
    close () {
      server.closeAllConnections()
      server.close()
    }
  }
}
