import t, { type Test } from 'tap'
import type { AgentFunction } from '#shared/agent.ts'
import { openToolbox } from '../../../src/executor/tools/toolbox.js'
import { Webhooks } from '../../../src/executor/tools/webhooks/webhooks.js'
import { createContext, fn, respond, type Responder, startServer } from '../../support/tools.js'

async function open (t: Test, functions: AgentFunction[], signal = new AbortController().signal) {
  const context = createContext(t, { signal })
  const webhooks = new Webhooks({ outbound: context.outbound, log: context.log })
  t.teardown(() => webhooks.close(0))
  const toolbox = await openToolbox({ outbound: context.outbound, webhooks, python: { run: async () => {} } }, { functions }, { tool: context, log: context.log })
  t.teardown(() => toolbox.close())
  return { toolbox, logged: context.logged }
}

/** An MCP server that lists these tools. */
function respondAsMcp (tools: object[]): Responder {
  return (response, asked) => {
    const { id, method } = JSON.parse(asked.body || '{}') as { id?: number, method?: string }
    if (id === undefined) return response.writeHead(202).end()
    const result = method === 'initialize'
      ? { protocolVersion: '2025-03-26', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } }
      : { tools }
    respond(200, { jsonrpc: '2.0', id, result })(response, asked, 0)
  }
}

t.test('a configuration that is no object is one without anything in it', async t => {
  const types = ['api_call', 'conditional', 'data_transform', 'webhook', 'python', 'mcp']
  const functions = types.flatMap(type => [null, undefined, 'text', 5, []].map(config => fn(type, config as never)))
  const { toolbox } = await open(t, functions)
  t.equal(toolbox.tools.length, 5, 'code alone is a tool without being configured as one')
  const { results } = await toolbox.runTriggered('go')
  t.ok(results.some(({ error }) => error?.includes('has no url')))
  t.notOk(results.some(({ error }) => error === 'The function failed.'))
  await toolbox.afterAnswer('go', 'x')
})

t.test('a function whose type is misspelt fails in a sentence, and is logged once, however often it runs', async t => {
  const parameters = { type: 'object' }
  const types = ['api-call', 'toString', '__proto__', 'x'.repeat(5_000)]
  const functions = types.flatMap(type => [fn(type, {}), fn(type, { parameters })])
  const sentence = (type: string) => `The function's type ${JSON.stringify(type.slice(0, 60))} is none of api_call, conditional, data_transform, webhook, python, mcp.`
  for (const isFirst of [true, false]) {
    const { toolbox, logged } = await open(t, functions)
    t.equal(toolbox.tools.length, types.length)
    const { results, emitted } = await toolbox.runTriggered('go')
    t.same(results, types.map(type => ({ functionName: type, functionType: type, success: false, error: sentence(type) })))
    t.match(emitted.filter(({ type }) => type === 'tool_result'), types.map(type => ({ error: sentence(type) })))
    t.match(logged, isFirst ? types.map(type => ({ message: 'function of an unknown type', functionType: type.slice(0, 60), reason: sentence(type) })) : [])
    t.ok(JSON.stringify(logged).length < 2_000, 'whatever their length')
  }
})

t.test('functions with parameters are offered first, then those in Python, then the tools of servers', async t => {
  const server = await startServer(t, respondAsMcp([{ name: 'remote', inputSchema: { type: 'object' } }, { name: 'api', inputSchema: { type: 'object' } }]))
  const parameters = { type: 'object' }
  const { toolbox } = await open(t, [
    fn('mcp', { url: server.url }, { name: 'server' }), fn('python', { entrypoint: 'a:b', parameters }, { name: 'code' }),
    fn('webhook', { parameters }, { name: 'hook' }), fn('api_call', { url: server.url, parameters }, { name: 'api' }), fn('python', { entrypoint: 'a:b' }, { name: 'api' })
  ])
  t.same(toolbox.tools.map(({ name }) => name), ['hook', 'api', 'code', 'api_2', 'remote', 'server_api'])
})

t.test('only an mcp function opens a server', async t => {
  const server = await startServer(t, respond(200))
  const { toolbox } = await open(t, ['api_call', 'conditional', 'data_transform', 'webhook', 'python'].map(type => fn(type, { url: server.url })))
  t.equal(toolbox.tools.length, 1)
  t.equal(server.requests.length, 0)
})

t.test('a run that was cancelled has no toolbox', async t => {
  const reason = new Error('cancelled')
  await t.rejects(open(t, [fn('api_call', {})], AbortSignal.abort(reason)), reason)
})

t.test('a model is offered no more tools than it takes, and how many are left out is logged', async t => {
  const functions = Array.from({ length: 100 }, () => fn('python', { entrypoint: 'a:b' }))
  const tools = Array.from({ length: 40 }, (_, n) => ({ name: `t${n}`, inputSchema: { type: 'object' } }))
  const server = await startServer(t, respondAsMcp(tools))
  const { toolbox, logged } = await open(t, [fn('mcp', { url: server.url }), ...functions.slice(1)])
  t.equal(toolbox.tools.length, 128)
  t.match(logged, [{ message: 'tools left out', count: 11 }])
})
