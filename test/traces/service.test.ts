import { on } from 'node:events'
import t, { type Test } from 'tap'
import WebSocket from 'ws'
import { hang, inTurn, refuse, say } from '../support/doubles/gateway.js'
import { startMcp } from '../support/doubles/mcp.js'
import { creditsOf, type ReceivedSpan, startCollector, toTree } from '../support/doubles/otlp-collector.js'
import { startBackend, startProject } from '../support/edge.js'
import { ALL_EVENTS, bearer, DEMO_AGENT, endOf, PYTHON_AGENT } from '../support/helper.js'
import { callTool } from '../support/pair.js'
import { findPython } from '../support/python.js'
import { respond, startServer } from '../support/tools.js'

const CALLER = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const CHAT = 'chat google/gemini-2.5-flash'
/** What stands in every text of users, authors, models and tools here. */
const MARK = 'Kohlrabi-7731'

const find = (spans: ReceivedSpan[], name: string): ReceivedSpan => spans.find(span => span.name === name)!

/** The service beside a project whose demo agent has a tool that asks an HTTP server, and a webhook. */
async function startTraced (t: Test, variables: Record<string, string> = {}) {
  const collector = await startCollector(t)
  const project = await startProject(t)
  const web = await startServer(t, respond(200, { found: MARK }))
  const service = await startBackend(t, project, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'x-key=secret%2Cone', ALLOW_PRIVATE_TOOL_HOSTS: '127.0.0.1', ...variables
  })
  await project.query(`insert into public.agent_functions (agent_id, name, description, function_type, config, execution_order) values
      ($1, 'search', $2, 'api_call', $3, 1), ($1, 'tell', $2, 'webhook', $4, 2)`, [
    DEMO_AGENT, MARK, { url: `${web.url}/search`, method: 'GET', parameters: { type: 'object', properties: {} } },
    { webhook_url: `${web.url}/hook`, trigger_event: 'always' }
  ])
  await project.query('update public.agents set system_prompt = $1, name = $1 where id = $2', [MARK, DEMO_AGENT])
  const charged = async (runId: string) => {
    const [row] = await project.query('select coalesce(sum(credits_used), 0)::int as credits from public.credit_usage where run_id = $1', [runId])
    return row!.credits as number
  }
  return { collector, project, web, service, charged }
}

const ASKED = { messages: [{ role: 'user', content: `What is ${MARK}?` }] }

t.test('the service with a collector', async t => {
  const { collector, project, web, service, charged } = await startTraced(t)
  t.beforeEach(() => {
    service.gateway.reply = inTurn(callTool('search', { about: MARK }, `I look for ${MARK}. `), say(`It is ${MARK}.`))
    service.gateway.calls.length = 0
    web.requests.length = 0
  })

  t.test('a run is one trace with its caller: request, run, attempt, steps, calls of the gateway and of tools', async t => {
    const told = await service.execute(ASKED, { traceparent: CALLER, tracestate: 'vendor=a1, other=b2' })
    const runId = told.headers.get('x-run-id')!
    const spans = await collector.traceOf(runId)
    t.same(toTree(spans), [
      'POST /api/agent/execute',
      '  invoke_agent',
      '    attempt 1',
      '      step 1',
      `        ${CHAT}`,
      '      step 2',
      '        execute_tool search',
      '      step 3',
      `        ${CHAT}`
    ])
    t.match(find(spans, 'POST /api/agent/execute'), { traceId: TRACE, parentSpanId: 'b7ad6b7169203331', kind: 2, attributes: { 'http.route': '/api/agent/execute', 'jeesi.run.id': runId } })
    t.match(find(spans, CHAT), {
      kind: 3,
      traceState: 'vendor=a1,other=b2',
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai',
        'gen_ai.request.model': 'google/gemini-2.5-flash',
        'gen_ai.request.max_tokens': Number,
        'gen_ai.response.model': 'test/model',
        'gen_ai.response.finish_reasons': ['tool_calls'],
        'gen_ai.usage.input_tokens': 10,
        'gen_ai.usage.output_tokens': 5,
        'server.address': '127.0.0.1',
        'server.port': Number
      }
    })
    t.match(find(spans, 'execute_tool search').attributes, { 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': 'search' })
    t.match(find(spans, 'invoke_agent'), {
      kind: 1,
      attributes: {
        'gen_ai.operation.name': 'invoke_agent', 'gen_ai.agent.id': DEMO_AGENT, 'gen_ai.usage.input_tokens': 20, 'jeesi.run.id': runId, 'jeesi.run.kind': 'execute', 'jeesi.run.status': 'succeeded', 'jeesi.run.attempts': 1
      }
    })
    t.match(spans[0]!.resource, { 'service.name': 'jeesi-railway-backend', 'service.version': '0.2.0', 'service.instance.id': service.app.owner })
    t.ok(collector.headers.every(headers => headers['x-key'] === 'secret,one'))
  })

  t.test('the gateway, tools and webhooks are handed the trace, under the span of the call', async t => {
    const hooked = web.next
    const told = await service.execute(ASKED, { traceparent: CALLER })
    const spans = await collector.traceOf(told.headers.get('x-run-id')!)
    const chats = spans.filter(({ name }) => name === CHAT).slice(-2)
    t.same(service.gateway.calls.map(({ headers }) => headers.traceparent), chats.map(({ spanId }) => `00-${TRACE}-${spanId}-01`))
    if (!web.requests.some(({ url }) => url === '/hook')) await hooked()
    const heard = (path: string) => web.requests.find(({ url }) => url === path)!.headers.traceparent
    t.equal(heard('/search'), `00-${TRACE}-${spans.filter(({ name }) => name === 'execute_tool search').at(-1)!.spanId}-01`)
    t.equal(heard('/hook'), `00-${TRACE}-${spans.filter(({ name }) => name === 'attempt 1').at(-1)!.spanId}-01`)
  })

  t.test('credits of all spans are the ledger\'s, whatever the run comes to', async t => {
    await project.query('insert into public.model_rates (model, credits_per_run, credits_per_1k_tokens) values ($1, 2, 5) on conflict (model) do update set credits_per_run = 2, credits_per_1k_tokens = 5', ['*'])
    const ended: string[] = []
    ended.push((await service.execute(ASKED)).headers.get('x-run-id')!)
    service.gateway.reply = refuse(401)
    ended.push((await service.execute(ASKED)).headers.get('x-run-id')!)
    service.gateway.calls.length = 0
    service.gateway.reply = inTurn(callTool('search', {}, 'So much'), hang('half'))
    const arriving = service.gateway.nextCall()
    const { body: { runId } } = await service.request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, ...ASKED, background: true } })
    await arriving
    while (!service.gateway.calls.at(-1)!.body.messages.some(({ role }: { role: string }) => role === 'tool')) await service.gateway.nextCall()
    await service.request('POST', `/api/runs/${runId}/cancel`)
    ended.push(runId)
    const sums = await Promise.all(ended.map(async runId => [creditsOf(await collector.traceOf(runId)), await charged(runId)]))
    t.ok(sums[0]![1]! > 0 && sums[2]![1]! > 0, 'something was charged')
    for (const [traced, paid] of sums) t.equal(traced, paid)
    const failed = await collector.traceOf(ended[1]!)
    t.match(find(failed, 'invoke_agent'), { status: { code: 2 }, attributes: { 'error.type': 'gateway_unauthorized', 'jeesi.run.status': 'failed' } })
    t.match(find(failed, CHAT), { status: { code: 2 }, attributes: { 'error.type': 'gateway_unauthorized' } })
    t.match(find(await collector.traceOf(runId), 'invoke_agent').attributes, { 'jeesi.run.status': 'cancelled' })
  })

  t.test('each try of a step has a span, and the step is one', async t => {
    service.gateway.reply = inTurn(refuse(503), say('Now.'))
    const told = await service.execute(ASKED)
    const spans = await collector.traceOf(told.headers.get('x-run-id')!)
    t.same(toTree(spans), ['POST /api/agent/execute', '  invoke_agent', '    attempt 1', '      step 1', `        ${CHAT}`, `        ${CHAT}`])
    t.same(spans.filter(({ name }) => name === CHAT).map(({ attributes }) => attributes['error.type']), ['gateway_unavailable', undefined])
  })

  t.test('a WebSocket hands on the trace of a message, or else that of its handshake', async t => {
    service.gateway.reply = say('Hi')
    const { authorization } = await bearer()
    const socket = new WebSocket(`${service.url.replace('http', 'ws')}/ws?token=${authorization!.slice(7)}`, { headers: { traceparent: CALLER } })
    const runs: string[] = []
    const own = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    for await (const [data] of on(socket, 'message')) {
      const { type, runId } = JSON.parse(String(data))
      if (type === 'connected') socket.send(JSON.stringify({ type: 'agent_execute', agentId: DEMO_AGENT, ...ASKED }))
      if (type !== 'agent_execution_complete') continue
      if (runs.push(runId) === 2) break
      socket.send(JSON.stringify({ type: 'agent_execute', agentId: DEMO_AGENT, ...ASKED, traceparent: own }))
    }
    socket.close()
    const [first, second] = [await collector.traceOf(runs[0]!), await collector.traceOf(runs[1]!)]
    t.equal(first[0]!.traceId, TRACE)
    t.equal(second[0]!.traceId, 'a'.repeat(32))
    t.equal(find(second, 'agent_execute').parentSpanId, 'b'.repeat(16))
  })

  t.test('a request that begins no run is a trace of its own, with its status; probes are none', async t => {
    await service.request('GET', '/health')
    await service.request('GET', '/api/runs/11111111-1111-4111-8111-111111111111')
    await collector.when(spans => spans.some(({ name }) => name === 'GET /api/runs/:id'))
    t.match(find(collector.spans, 'GET /api/runs/:id'), { parentSpanId: undefined, status: undefined, attributes: { 'http.response.status_code': 404, 'jeesi.error.code': 'run_not_found' } })
    t.notOk(collector.spans.some(({ name }) => name.includes('/health')))
  })

  t.test('nothing that users, authors, models or tools have said is in any byte of it', async t => {
    service.gateway.reply = inTurn(callTool(MARK, { about: MARK }, MARK), callTool('search', { about: MARK }, MARK), say(MARK))
    const told = await service.execute(ASKED)
    const spans = await collector.traceOf(told.headers.get('x-run-id')!)
    t.match(find(spans, 'execute_tool').attributes, { 'error.type': 'unknown_tool' }, 'a tool that the model has made up is not named')
    t.ok(collector.raw.length > 5)
    t.notOk(collector.raw.some(raw => raw.includes(MARK)))
    const [row] = await project.query('select count(*)::int as steps from public.agent_run_steps where run_id = $1', [told.headers.get('x-run-id')])
    t.equal(spans.filter(({ name }) => name.startsWith('step')).length, row!.steps, 'a span for each step of the database')
  })
})

t.test('MCP servers are handed the trace, and a call of their tools is a span', async t => {
  const collector = await startCollector(t)
  const project = await startProject(t)
  const mcp = await startMcp(t)
  const service = await startBackend(t, project, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ALLOW_PRIVATE_TOOL_HOSTS: '127.0.0.1' })
  await project.query('insert into public.agent_functions (agent_id, name, function_type, config) values ($1, $2, $3, $4)', [DEMO_AGENT, 'served', 'mcp', { url: mcp.url }])
  service.gateway.reply = inTurn(callTool('echo', { a: 'x' }, ''), say('Done.'))
  const told = await service.execute(ASKED, { traceparent: CALLER })
  const spans = await collector.traceOf(told.headers.get('x-run-id')!)
  t.ok(find(spans, 'execute_tool echo'))
  t.ok(mcp.asked.length > 2)
  const { spanId } = find(spans, 'attempt 1')
  t.ok(mcp.asked.every(({ headers }) => headers.traceparent === `00-${TRACE}-${spanId}-01`))
})

t.test('an agent in Python is handed the trace, and is a step', async t => {
  const found = await findPython(t)
  if (!found) return
  const collector = await startCollector(t)
  const project = await startProject(t)
  const service = await startBackend(t, project, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, PYTHON_BIN: found })
  await project.query('update public.agents set entrypoint = $1 where id = $2', ['agents:traced', PYTHON_AGENT])
  const told = await service.execute({ agentId: PYTHON_AGENT, ...ASKED }, { traceparent: CALLER, tracestate: 'vendor=a1' })
  const spans = await collector.traceOf(told.headers.get('x-run-id')!)
  t.same(toTree(spans), ['POST /api/agent/execute', '  invoke_agent', '    attempt 1', '      step 1'])
  t.match(find(spans, 'step 1').attributes, { 'jeesi.step.kind': 'python', 'jeesi.step.credits': 1 })
  t.equal(told.text, `00-${TRACE}-${find(spans, 'step 1').spanId}-01 vendor=a1`)
})

t.test('with OTEL_CAPTURE_CONTENT=true spans have the texts, cut at a bound', async t => {
  const { collector, service } = await startTraced(t, { OTEL_CAPTURE_CONTENT: 'true' })
  service.gateway.reply = inTurn(callTool('search', { about: MARK }, `I look for ${MARK}. `), say('x'.repeat(100_000)))
  const told = await service.execute({ messages: [{ role: 'user', content: `What is ${MARK}? ${'y'.repeat(50_000)}` }] })
  const spans = await collector.traceOf(told.headers.get('x-run-id')!)
  t.ok(find(spans, `invoke_agent ${MARK}`))
  const [first, last] = spans.filter(({ name }) => name === CHAT)
  const input = JSON.parse(first!.attributes['gen_ai.input.messages'] as string)
  t.match(input.at(-1), { role: 'user', parts: [{ type: 'text', content: new RegExp(`^What is ${MARK}`) }] })
  t.match(JSON.parse(first!.attributes['gen_ai.output.messages'] as string), [{ role: 'assistant', parts: [{ type: 'text' }, { type: 'tool_call', name: 'search' }], finish_reason: 'tool_calls' }])
  t.match(JSON.parse(last!.attributes['gen_ai.output.messages'] as string)[0].parts[0].content, /^x{12000}…$/)
  t.match(find(spans, 'execute_tool search').attributes, { 'gen_ai.tool.call.arguments': `{"about":"${MARK}"}`, 'gen_ai.tool.call.result': new RegExp(MARK) })
  t.ok(Math.max(...spans.flatMap(({ attributes }) => Object.values(attributes).map(value => String(value).length))) <= 20_000)
})

t.test('a caller whose trace is not recorded is handed on, and nothing is sent', async t => {
  const { collector, service } = await startTraced(t)
  const quiet = CALLER.replace(/1$/, '0')
  service.gateway.reply = say('Hi')
  await service.execute(ASKED, { traceparent: quiet })
  t.equal(service.gateway.calls[0]!.headers.traceparent, quiet)
  const told = await service.execute(ASKED)
  await collector.traceOf(told.headers.get('x-run-id')!)
  t.notOk(collector.spans.some(({ traceId }) => traceId === TRACE))
})

t.test('without a collector a caller\'s trace is handed on to the gateway, tools and webhooks, and no run has another', async t => {
  const project = await startProject(t)
  const service = await startBackend(t, project)
  const told = await service.execute(ASKED, { traceparent: CALLER, tracestate: 'vendor=a1' })
  t.match(service.gateway.calls[0]!.headers, { traceparent: CALLER, tracestate: 'vendor=a1' })
  await service.execute(ASKED)
  t.notOk('traceparent' in service.gateway.calls[1]!.headers)
  await service.execute(ASKED, { traceparent: '00-zz' })
  t.notOk('traceparent' in service.gateway.calls[2]!.headers)
  t.equal((await endOf(service, told.headers.get('x-run-id')!, ALL_EVENTS)).status, 'succeeded')
})
