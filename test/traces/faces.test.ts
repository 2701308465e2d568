import t from 'tap'
import { say } from '../support/doubles/gateway.js'
import { type ReceivedSpan, startCollector } from '../support/doubles/otlp-collector.js'
import { DEMO_AGENT, startService } from '../support/helper.js'

/** A trace of its own for each face. */
const traceIdOf = (number: number) => String(number + 1).repeat(32)
const user = { role: 'user', content: 'Hi' }
const MCP = { accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-06-18' }

/** Requests that begin a run, by the face. */
const FACES: ReadonlyArray<readonly [kind: string, path: string, body: object, headers?: Record<string, string>]> = [
  ['execute', '/api/agent/execute', { agentId: DEMO_AGENT, messages: [user], stream: false }],
  ['execute', '/api/agent/execute', { agentId: DEMO_AGENT, messages: [user], background: true }],
  ['chat_completions', '/v1/chat/completions', { model: DEMO_AGENT, messages: [user] }],
  ['responses', '/v1/responses', { model: DEMO_AGENT, input: 'Hi' }],
  ['ai_sdk', '/api/chat', { id: 'chat', agentId: DEMO_AGENT, messages: [{ id: 'm', role: 'user', parts: [{ type: 'text', text: 'Hi' }] }] }],
  ['mcp', '/mcp', { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: DEMO_AGENT, arguments: { message: 'Hi' } } }, MCP],
  ['ag_ui', `/copilotkit/agent/${DEMO_AGENT}/run`, { threadId: 't', runId: 'r', messages: [{ id: 'm', ...user }], tools: [], context: [], state: {}, forwardedProps: {} }]
]

t.test('every face continues its caller\'s trace', async t => {
  const collector = await startCollector(t)
  const service = await startService(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
  service.gateway.reply = say('Hello')
  for (const [index, [kind, path, body, headers]] of FACES.entries()) {
    const { status } = await service.request('POST', path, { body, headers: { traceparent: `00-${traceIdOf(index)}-${'e'.repeat(16)}-01`, ...headers } })
    t.ok(status < 300, `${path} ${status}`)
    const isWhole = (spans: ReceivedSpan[]) => spans.some(({ traceId, name }) => traceId === traceIdOf(index) && name === 'invoke_agent')
    await collector.when(isWhole)
    const spans = collector.spans.filter(({ traceId }) => traceId === traceIdOf(index))
    t.equal(spans.find(({ name }) => name === 'invoke_agent')!.attributes['jeesi.run.kind'], kind)
    t.equal(service.gateway.calls.at(-1)!.headers.traceparent, `00-${traceIdOf(index)}-${spans.find(({ name }) => name.startsWith('chat'))!.spanId}-01`)
    t.equal(spans.find(({ kind }) => kind === 2)!.parentSpanId, 'e'.repeat(16))
  }
})
