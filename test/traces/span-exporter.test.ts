import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { SpanExporter, type ExporterOptions } from '#shared/traces/span-exporter.ts'
import { encodeSpan } from '#shared/traces/span.ts'
import { startCollector } from '../support/doubles/otlp-collector.js'

const TRACE = 'a'.repeat(32)
const SPAN = { id: 'b'.repeat(16), name: 'work', kind: 1 as const, start: 1_000_000_000_000, end: 1_000_000_000_001.5, attributes: { text: 'x' } }
const encoded = (fields: object = {}) => encodeSpan(TRACE, { ...SPAN, ...fields })

type Line = { level: string, message: string, fields: Record<string, unknown> }

function open (url: string, options: Partial<ExporterOptions> = {}) {
  const lines: Line[] = []
  const exporter = new SpanExporter({
    url: `${url}/v1/traces`, headers: { authorization: 'Bearer a-secret' }, timeoutMs: 10_000, resource: { 'service.name': 'test' }, log: (level, message, fields) => { lines.push({ level, message, fields }) }, ...options
  })
  return { exporter, lines }
}

t.test('a span is encoded as OTLP has it, and a text that is no whole character does not spoil the others', async t => {
  const collector = await startCollector(t)
  const { exporter } = open(collector.url)
  exporter.add([encoded({ parent: 'c'.repeat(16), error: 'broken', attributes: { text: 'half \ud83d', count: 3, share: 0.5, is: true, list: ['a', 'b'], none: undefined, long: 'z'.repeat(50_000) } })])
  await exporter.flush()
  t.match(collector.spans, [{
    traceId: TRACE,
    spanId: SPAN.id,
    parentSpanId: 'c'.repeat(16),
    startTimeUnixNano: '1000000000000000000',
    endTimeUnixNano: '1000000000001500000',
    status: { code: 2 },
    attributes: { text: 'half \ufffd', count: 3, share: 0.5, is: true, list: ['a', 'b'], 'error.type': 'broken' },
    resource: { 'service.name': 'test' }
  }])
  t.equal((collector.spans[0]!.attributes.long as string).length, 20_000)
  t.notOk('none' in collector.spans[0]!.attributes)
})

t.test('spans go in batches, gathered for a while, one request at a time', async t => {
  const collector = await startCollector(t)
  const { exporter } = open(collector.url, { delayMs: 1 })
  exporter.add(Array.from({ length: 1200 }, () => encoded()))
  await collector.when(spans => spans.length === 1200)
  t.same(collector.raw.map(raw => raw.split('"spanId"').length - 1), [512, 512, 176])
  await exporter.flush()
  t.equal(exporter.queued, 0)
})

t.test('a collector that is away gets the spans when it is back; what does not fit meanwhile is dropped as a whole', async t => {
  const collector = await startCollector(t)
  collector.handler = response => { response.writeHead(503).end() }
  const { exporter, lines } = open(collector.url, { maxQueued: { spans: 10, characters: 1e6 } })
  exporter.add([encoded({ name: 'first' }), encoded({ name: 'second' })])
  await exporter.flush()
  exporter.add(Array.from({ length: 9 }, () => encoded({ name: 'too many' })))
  t.equal(exporter.queued, 2)
  collector.handler = undefined
  await exporter.flush()
  t.same(collector.spans.map(({ name }) => name), ['first', 'second'])
  t.match(lines, [{ level: 'warn', message: 'the collector of traces takes no spans', fields: { reason: 'status 503', host: new URL(collector.url).host, queued: 2 } }])
  t.equal(lines.length, 1, 'once, and then at a rate')
  t.notOk(JSON.stringify(lines).includes('a-secret'))
})

t.test('bytes are bounded as spans are', async t => {
  const { exporter } = open('http://127.0.0.1:9', { maxQueued: { spans: 100, characters: 500 } })
  exporter.add([encoded()])
  exporter.add([encoded({ name: 'y'.repeat(190) }), encoded()])
  t.equal(exporter.queued, 1)
})

t.test('what a collector refuses for good is not sent again, nor to where it redirects', async t => {
  const other = await startCollector(t)
  for (const [status, headers] of [[400, {}], [401, {}], [307, { location: `${other.url}/v1/traces` }]] as const) {
    const collector = await startCollector(t)
    collector.handler = response => { response.writeHead(status, headers).end('nonsense') }
    const { exporter, lines } = open(collector.url)
    exporter.add([encoded()])
    await exporter.flush()
    t.equal(exporter.queued, 0)
    t.match(lines, [{ fields: { reason: `status ${status}` } }])
  }
  t.same(other.raw, [])
})

t.test('a collector that is silent, talks for ever, speaks no HTTP, hangs up or is not there ends the try in time, and nothing rejects', async t => {
  const collector = await startCollector(t)
  const replies: Array<NonNullable<typeof collector.handler>> = [
    () => {},
    response => {
      const talk = () => { if (!response.destroyed) response.write('x'.repeat(65_536), () => setImmediate(talk)) }
      response.writeHead(503)
      talk()
    },
    response => { response.socket!.destroy() }
  ]
  for (const reply of replies) {
    collector.handler = reply
    const { exporter, lines } = open(collector.url, { timeoutMs: 200 })
    exporter.add([encoded()])
    await exporter.flush()
    t.equal(exporter.queued, 1)
    t.equal(lines.length, 1)
  }
  const garbage = createServer(socket => { socket.on('error', () => {}).end('\x00\x01 not HTTP at all\r\n\r\n') })
  garbage.listen(0, '127.0.0.1')
  await once(garbage, 'listening')
  t.teardown(() => garbage.close())
  for (const url of [`http://127.0.0.1:${(garbage.address() as AddressInfo).port}`, 'http://127.0.0.1:9']) {
    const { exporter, lines } = open(url)
    exporter.add([encoded()])
    await exporter.close()
    t.match(lines, [{ message: 'the collector of traces takes no spans' }])
    exporter.add([encoded()])
    t.equal(exporter.queued, 1, 'once closed it takes no more')
  }
})
