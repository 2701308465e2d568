import type { NumberedEvent, RunOptions } from './client-types.js'
import { type Events, type Position, type Reconnect, watch } from './connection.js'
import { connectionFailed, errorOf } from './errors.js'

/** Follows a run over Server-Sent Events: begins it, or goes on with it. */
export async function * connectSse (options: RunOptions, position: Position, token: () => Promise<string>, over: AbortSignal): Events {
  const connection = new AbortController()
  const end = () => connection.abort()
  over.addEventListener('abort', end)
  const watchdog = watch(position, end)
  try {
    const response = await request(options, position, await token(), connection.signal).catch(error => { throw connectionFailed(error) })
    if (!response.ok || !response.body) throw await errorOf(response)
    position.runId ??= response.headers.get('x-run-id') ?? undefined
    yield * readEvents(response.body, watchdog.heard)
  } finally {
    watchdog.stop()
    over.removeEventListener('abort', end)
    end()
  }
}

function request (options: RunOptions, { runId, after, idempotencyKey }: Position, token: string, signal: AbortSignal): Promise<Response> {
  const { url, fetch: send = fetch } = options
  const headers = { authorization: `Bearer ${token}`, 'x-stream-events': '*' }
  if (runId !== undefined || !('agentId' in options)) return send(`${url}/api/runs/${runId}/events?after=${after}`, { headers, signal })
  const { agentId, messages, responseFormat } = options
  return send(`${url}/api/agent/execute`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json', 'idempotency-key': idempotencyKey },
    body: JSON.stringify({ agentId, messages, response_format: responseFormat }),
    signal
  })
}

async function * readEvents (body: ReadableStream<Uint8Array>, heard: () => void): Events {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read().catch(error => { throw connectionFailed(error) })
    if (done) return
    heard()
    rest += decoder.decode(value, { stream: true })
    const frames = rest.split('\n\n')
    rest = frames.pop()!
    for (const frame of frames) {
      const event = readFrame(frame)
      if (event) yield event
    }
  }
}

function readFrame (frame: string): NumberedEvent | Reconnect | undefined {
  const fields = new Map(frame.split('\n').map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]))
  const data = fields.get('data')
  if (data === undefined || data === '[DONE]') return undefined
  return { ...JSON.parse(data), seq: Number(fields.get('id') ?? 0) }
}
