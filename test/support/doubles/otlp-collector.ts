import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import type { Test } from 'tap'

type Value = string | number | boolean | Value[]

/** A span as it was received, its attributes as plain values. */
export interface ReceivedSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  traceState?: string
  name: string
  kind: number
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: Record<string, Value>
  status?: { code?: number, message?: string }
  /** What the program that sent it says of itself. */
  resource: Record<string, Value>
  scope: { name?: string, version?: string }
}

/** A collector of OpenTelemetry: it takes OTLP over HTTP in JSON on a real socket, and refuses what is not as OTLP has it. */
export interface CollectorDouble {
  url: string
  /** All spans that were taken, in their order. */
  spans: ReceivedSpan[]
  /** All bytes that have arrived, taken or not. */
  raw: string[]
  headers: Array<IncomingMessage['headers']>
  /** What was not as OTLP has it. */
  faults: string[]
  /** Answers instead; spans are not taken then. Undefined: 200. */
  handler?: (response: ServerResponse, number: number) => void
  /** Resolves once there are such spans; rejects if something has arrived that is not as OTLP has it. */
  when (found: (spans: ReceivedSpan[]) => boolean): Promise<void>
  /** Resolves to the spans of a trace once one of them is that of the run. */
  traceOf (runId: string): Promise<ReceivedSpan[]>
}

export async function startCollector (t: Test, port = 0): Promise<CollectorDouble> {
  let listeners: Array<() => void> = []
  const collector: CollectorDouble = {
    url: '',
    spans: [],
    raw: [],
    headers: [],
    faults: [],
    async when (found) {
      while (!found(collector.spans)) {
        await new Promise<void>(resolve => { listeners.push(resolve) })
        if (collector.faults.length > 0) throw new Error(`not as OTLP has it: ${collector.faults.join('; ')}`)
      }
    },
    async traceOf (runId) {
      await collector.when(spans => spans.some(span => isOfRun(span, runId)))
      const { traceId } = collector.spans.find(span => isOfRun(span, runId))!
      return collector.spans.filter(span => span.traceId === traceId)
    }
  }
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk)
    } catch {
      return
    }
    const bytes = Buffer.concat(chunks)
    const raw = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString()
    collector.raw.push(raw)
    collector.headers.push(request.headers)
    if (collector.handler) return collector.handler(response, collector.raw.length)
    try {
      if (request.method !== 'POST' || request.url !== '/v1/traces') throw new Error(`${request.method} ${request.url}`)
      if (request.headers['content-type'] !== 'application/json') throw new Error('the content type is not JSON')
      collector.spans.push(...readExport(raw))
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"partialSuccess":{}}')
    } catch (error) {
      collector.faults.push(String(error))
      response.writeHead(400).end()
    }
    for (const resolve of listeners) resolve()
    listeners = []
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  collector.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return collector
}

/** Whether a span is that of a run as a whole. */
export function isOfRun ({ attributes }: ReceivedSpan, runId: string): boolean {
  return attributes['gen_ai.operation.name'] === 'invoke_agent' && attributes['jeesi.run.id'] === runId
}

/** The lines of a trace as a tree: each span's name behind its depth. Spans whose parent is not among them come first. */
export function toTree (spans: readonly ReceivedSpan[], describe = (span: ReceivedSpan) => span.name): string[] {
  const ids = new Set(spans.map(({ spanId }) => spanId))
  const sorted = spans.toSorted((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)))
  const below = (parent: ReceivedSpan, depth: number): string[] => sorted
    .filter(({ parentSpanId }) => parentSpanId === parent.spanId)
    .flatMap(child => [`${'  '.repeat(depth)}${describe(child)}`, ...below(child, depth + 1)])
  return sorted.filter(({ parentSpanId }) => !parentSpanId || !ids.has(parentSpanId)).flatMap(root => [describe(root), ...below(root, 1)])
}

/** Credits of all spans together. */
export function creditsOf (spans: readonly ReceivedSpan[]): number {
  return spans.reduce((sum, { attributes }) => sum + Number(attributes['jeesi.credits'] ?? 0), 0)
}

function readExport (text: string): ReceivedSpan[] {
  const { resourceSpans } = JSON.parse(text)
  return resourceSpans.flatMap(({ resource, scopeSpans }: any) => scopeSpans.flatMap(({ scope, spans }: any) =>
    spans.map((span: any) => readSpan(span, readAttributes(resource.attributes), scope))))
}

function readSpan ({ attributes, ...span }: any, resource: ReceivedSpan['resource'], scope: ReceivedSpan['scope']): ReceivedSpan {
  for (const [name, pattern] of [['traceId', /^(?!0+$)[0-9a-f]{32}$/], ['spanId', /^(?!0+$)[0-9a-f]{16}$/], ['startTimeUnixNano', /^\d{19}$/], ['endTimeUnixNano', /^\d{19}$/]] as const) {
    if (!pattern.test(span[name])) throw new Error(`${name} is ${span[name]}`)
  }
  if (span.parentSpanId !== undefined && !/^(?!0+$)[0-9a-f]{16}$/.test(span.parentSpanId)) throw new Error(`parentSpanId is ${span.parentSpanId}`)
  if (typeof span.name !== 'string' || span.name === '' || ![1, 2, 3, 4, 5].includes(span.kind)) throw new Error('a span has no name or kind')
  if (BigInt(span.endTimeUnixNano) < BigInt(span.startTimeUnixNano)) throw new Error(`${span.name} ends before it begins`)
  return { ...span, attributes: readAttributes(attributes), resource, scope }
}

function readAttributes (attributes: Array<{ key: string, value: object }>): Record<string, Value> {
  const read = attributes.map(({ key, value }) => [key, readValue(value)] as const)
  if (new Set(read.map(([key]) => key)).size < read.length) throw new Error('an attribute is there twice')
  return Object.fromEntries(read)
}

function readValue (value: any): Value {
  const [[kind, content], ...more] = Object.entries<any>(value) as [[string, any]]
  if (more.length > 0) throw new Error('an attribute has several values')
  if (kind === 'stringValue' && typeof content === 'string' && content.isWellFormed()) return content
  if (kind === 'boolValue' && typeof content === 'boolean') return content
  if (kind === 'intValue' && /^-?\d+$/.test(content)) return Number(content)
  if (kind === 'doubleValue' && typeof content === 'number') return content
  if (kind === 'arrayValue') return content.values.map(readValue)
  throw new Error(`an attribute is ${JSON.stringify(value)}`)
}
