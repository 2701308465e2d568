import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { PING_MS, SSE_PING } from '#shared/http/sse.ts'
import { ALL_EVENTS } from '#shared/reader/known-events.ts'
import { MemoryEventLog } from '../../../src/executor/events/memory-event-log.js'
import { STREAM_FORMATS } from '../../../src/http/sse/formats.js'
import { SseStream } from '../../../src/http/sse/stream.js'

const RUN = { runId: '3f2504e0-4f89-41d3-9a0c-0305e82c3301', agentId: 'an-agent', createdAt: '2026-12-01T00:00:00Z' }

for (const version of ['1.1', '1.0']) {
  t.test(`over HTTP/${version} a stream is pinged on which come only events that its format does not say`, async t => {
    const log = new MemoryEventLog({ maxBytes: 1e6, keepMs: 1e6 })
    t.teardown(() => log.close())
    log.open(RUN.runId, 1)
    const format = STREAM_FORMATS.chat(RUN, () => [])
    const server = createServer((_request, response) => {
      response.writeHead(200)
      response.flushHeaders()
      server.emit('stream', new SseStream(log, response, { format, runId: RUN.runId, after: 0, known: ALL_EVENTS, until: Infinity }))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const opening = once(server, 'stream') as Promise<[SseStream]>
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    client.write(`GET / HTTP/${version}\r\nhost: test\r\n\r\n`)
    const reading = text(client)
    const [stream] = await opening
    stream.follow()

    const openedAt = await nextMillisecond()
    log.append(RUN.runId, { type: 'progress', fraction: 0.5 })
    stream.beat(openedAt + PING_MS)
    const pingedAt = await nextMillisecond()
    log.append(RUN.runId, { type: 'chunk', content: 'Hello' })
    stream.beat(pingedAt + PING_MS)
    log.append(RUN.runId, { type: 'done', response: 'Hello', runId: RUN.runId, finishReason: 'stop' } as Parameters<typeof log.append>[1])
    client.end()
    const told = await reading
    t.match(told, 'Hello')
    t.equal(told.split(SSE_PING).length, 2, 'once, and not after what it said')
    t.ok(told.indexOf(SSE_PING) < told.indexOf('Hello'))
  })
}

/** The time now, once it is over. */
async function nextMillisecond (): Promise<number> {
  const now = Date.now()
  while (Date.now() === now) await turn()
  return now
}
