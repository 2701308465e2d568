import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

const STAMP = /@(\d+)\.(\d+)\//g

/** When a piece was sent, in milliseconds since 1970, and to which replica. */
export interface Stamp { sentAt: number, replica: number }

/** The pieces of the answer to a question, without stamps; they are distinct, so a missing or repeated one is detected. */
export function expected (name: string): string[] {
  const length = 40 + [...name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 160
  return Array.from({ length }, (_, n) => `${name}:${n}é `)
}

/** Removes the stamps of a text. */
export function withoutStamps (text: string): string {
  return text.replace(STAMP, '')
}

export function stampsOf (text: string): Stamp[] {
  return [...text.matchAll(STAMP)].map(([, sentAt, replica]) => ({ sentAt: Number(sentAt), replica: Number(replica) }))
}

/** Whether the model says the same text when it is asked again; else it has stamps. */
function isRepeatable (name: string): boolean {
  return name.startsWith('plain-')
}

export interface Model {
  /** The gateway's URL for a replica; the stamps of its answers contain the replica's number. */
  url (replica: number): string
  close (): void
}

/** The text of the last message, which some clients send in parts. */
function questionOf ({ messages }: { messages: Array<{ content: string | Array<{ text: string }> }> }): string {
  const { content } = messages.at(-1)!
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('')
}

/** A model that streams the expected text, one piece every few milliseconds, and sometimes refuses or breaks off. */
export async function startModel (random: () => number): Promise<Model> {
  const server = createServer(async (request, response) => {
    // A process that starts asks which models there are.
    if (request.method === 'GET') return response.writeHead(200, { 'content-type': 'application/json' }).end('{"data":[]}')
    const replica = request.url!.split('/')[1]
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const name = questionOf(JSON.parse(Buffer.concat(chunks).toString()))
    if (random() < 0.05) return response.writeHead(503).end()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const breaksAt = random() < 0.05 ? Math.floor(random() * 50) : -1
    for (const [n, piece] of expected(name).entries()) {
      if (response.destroyed) return
      if (n === breaksAt) return response.destroy()
      const content = isRepeatable(name) ? piece : `@${Date.now()}.${replica}/${piece}`
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
