import { once } from 'node:events'
import { createServer, type IncomingMessage, request as send, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

/** What arrived at the backend's address. */
export interface Visit { method: string, path: string, headers: IncomingMessage['headers'], body: any, raw: string }

export type Handler = (response: ServerResponse, visit: Visit, number: number) => void | Promise<void>

/** What stands at a backend's address: a wire to the real service that a test can look into and cut, or something else. */
export interface BackendDouble {
  url: string
  visits: Visit[]
  /** How the requests to come are answered. `number` counts from 1. */
  handler: Handler
}

export async function startBackendDouble (t: Test, handler: Handler): Promise<BackendDouble> {
  const backend: BackendDouble = { url: '', visits: [], handler }
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const raw = Buffer.concat(chunks).toString()
    const visit = { method: request.method!, path: request.url!, headers: request.headers, raw, body: raw && JSON.parse(raw) }
    backend.visits.push(visit)
    await backend.handler(response, visit, backend.visits.length)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  backend.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return backend
}

/** Passes everything on to a service. @param onAnswer may do as it likes with the answer that begins. */
export function passTo (url: string, onAnswer = (answer: IncomingMessage, response: ServerResponse) => { answer.pipe(response) }): Handler {
  return (response, { method, path, headers, raw }) => {
    const onward = send(url + path, { method, headers: { ...headers, host: new URL(url).host } }, answer => {
      response.writeHead(answer.statusCode!, answer.headers)
      // A service that is killed breaks off, and so does this.
      answer.on('error', () => response.destroy())
      onAnswer(answer, response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    onward.end(raw)
  }
}

/** The service gets the request and answers, and nobody hears it. */
export function loseAnswer (url: string): Handler {
  return passTo(url, (_answer, response) => { response.destroy() })
}

/** Answers with a status and JSON. */
export function answerWith (status: number, body: object, headers: Record<string, string> = {}): Handler {
  return response => { response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body)) }
}
