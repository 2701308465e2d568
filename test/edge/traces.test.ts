import t from 'tap'
import { hang, say, startGateway } from '../support/doubles/gateway.js'
import { creditsOf, startCollector, toTree } from '../support/doubles/otlp-collector.js'
import { findDeno, HEAVY, startBackend, startEdge, startProject } from '../support/edge.js'
import { bearer } from '../support/helper.js'

const CALLER = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'vendor=a1' }
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const CHAT = 'chat google/gemini-2.5-flash'
const MARK = 'Kohlrabi-7731'

t.test('the edge function with a collector', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const collector = await startCollector(t)
  const project = await startProject(t)
  const traced = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }
  const service = await startBackend(t, project, traced)
  const gateway = await startGateway(t)
  const edge = await startEdge(t, deno, project, { ...traced, RAILWAY_BACKEND_URL: service.url, AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'key' })
  const describe = ({ name, resource }: { name: string, resource: object }) => `${name} (${(resource as Record<string, string>)['service.name']})`
  const paid = async (runId: string) => (await project.query('select coalesce(sum(credits_used), 0)::int as credits from public.credit_usage where run_id = $1', [runId]))[0]!.credits

  t.test('one trace begins at the edge function and goes on through the service to the gateway', async t => {
    const told = await edge.execute(HEAVY)
    const runId = told.headers.get('x-run-id')!
    const spans = await collector.traceOf(runId)
    await collector.when(spans => spans.some(({ name, attributes }) => name === 'POST /agent-runtime' && attributes['jeesi.run.id'] === runId))
    const all = await collector.traceOf(runId)
    t.same(toTree(all, describe), [
      'POST /agent-runtime (agent-runtime)',
      '  POST /api/agent/execute-validated (jeesi-railway-backend)',
      '    invoke_agent (jeesi-railway-backend)',
      '      attempt 1 (jeesi-railway-backend)',
      '        step 1 (jeesi-railway-backend)',
      `          ${CHAT} (jeesi-railway-backend)`
    ])
    t.equal(creditsOf(spans), await paid(runId))
    t.ok(await paid(runId) > 0)
  })

  t.test('a run that the edge function makes is one trace of its caller, with the ledger\'s credits', async t => {
    gateway.reply = say(MARK)
    const told = await edge.execute({ messages: [{ role: 'user', content: MARK }] }, { ...CALLER, ...await bearer() })
    const runId = told.headers.get('x-run-id')!
    const spans = await collector.traceOf(runId)
    t.same(toTree(spans, describe), [
      'POST /agent-runtime (agent-runtime)',
      '  invoke_agent (agent-runtime)',
      '    attempt 1 (agent-runtime)',
      '      step 1 (agent-runtime)',
      `        ${CHAT} (agent-runtime)`
    ])
    t.equal(spans[0]!.traceId, TRACE)
    const chat = spans.find(({ name }) => name === CHAT)!
    t.match(chat.attributes, { 'gen_ai.usage.input_tokens': 10, 'gen_ai.usage.output_tokens': 5, 'gen_ai.response.model': 'test/model' })
    t.match(gateway.calls.at(-1)!.headers, { traceparent: `00-${TRACE}-${chat.spanId}-01`, tracestate: 'vendor=a1' })
    t.equal(creditsOf(spans), await paid(runId))
    t.notOk(collector.raw.some(raw => raw.includes(MARK)), 'without its text')
  })
})

t.test('a run that the edge function hands over at its deadline goes on in its trace', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const collector = await startCollector(t)
  const project = await startProject(t)
  const traced = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }
  const service = await startBackend(t, project, traced)
  const gateway = await startGateway(t, hang('half'))
  const edge = await startEdge(t, deno, project, { ...traced, RAILWAY_BACKEND_URL: service.url, AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'key', EDGE_MAX_SECONDS: '1' })
  const told = await edge.execute({})
  const runId = told.headers.get('x-run-id')!
  await project.endOf(runId)
  const spans = await collector.traceOf(runId)
  t.same(toTree(spans.filter(({ name }) => !name.startsWith('GET '))), ['POST /agent-runtime', '  invoke_agent', '    attempt 2', '      step 1', `        ${CHAT}`])
  t.equal(creditsOf(spans), 1)
})

t.test('without a collector the edge function hands on its caller\'s trace, to the service and to the gateway', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const project = await startProject(t)
  const service = await startBackend(t, project)
  const gateway = await startGateway(t)
  const edge = await startEdge(t, deno, project, { RAILWAY_BACKEND_URL: service.url, AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'key' })
  await edge.execute({}, { ...CALLER, ...await bearer() })
  await edge.execute(HEAVY, { ...CALLER, ...await bearer() })
  t.match(gateway.calls[0]!.headers, CALLER)
  t.match(service.gateway.calls[0]!.headers, CALLER)
  await edge.execute({}, { traceparent: `${CALLER.traceparent}-x`, ...await bearer() })
  t.notOk('traceparent' in gateway.calls[1]!.headers)
})
