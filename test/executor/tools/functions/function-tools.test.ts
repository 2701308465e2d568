import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { AgentFunction } from '#shared/agent.ts'
import { functionTools } from '../../../../src/executor/tools/functions/function-tools.js'
import { MAX_RESULT_CHARACTERS } from '#shared/functions/result-text.ts'
import { ToolNames } from '../../../../src/executor/tools/tool-names.js'
import type { WebhookCall } from '#shared/functions/webhook.ts'
import { AGENT, createContext, failureOf, fn, respond, startServer } from '../../../support/tools.js'

const PARAMETERS = { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city'] }

function open (t: Test, functions: AgentFunction[], accepts = true) {
  const context = createContext(t)
  const sent: WebhookCall[] = []
  const webhooks = { send: (call: WebhookCall) => { if (accepts) sent.push(call); return accepts } }
  const tools = functionTools(functions, { outbound: context.outbound, webhooks, python: { run: async () => {} }, names: new ToolNames(), log: context.log })
  return { tools, context, sent, call: (args: Record<string, unknown>, index = 0) => tools[index]!.call(args, context) }
}

t.test('a function with parameters is a tool', async t => {
  const functions = [
    fn('api_call', { parameters: PARAMETERS }, { name: 'Get weather!', description: ' What the weather is. ' }),
    fn('api_call', { parameters: JSON.stringify({ properties: {} }) }, { name: 'get_weather', description: null }),
    fn('api_call', { parameters: PARAMETERS }, { name: 'Get weather' }),
    fn('data_transform', {}), fn('data_transform', { parameters: '' }), fn('mcp', { parameters: PARAMETERS }), fn('python', { parameters: PARAMETERS })
  ]
  const { tools } = open(t, functions)
  t.match(tools, [
    { name: 'Get_weather', description: 'What the weather is.', parameters: PARAMETERS },
    { name: 'get_weather', description: 'get_weather', parameters: { type: 'object', properties: {} } },
    { name: 'Get_weather_2', description: 'Get weather' }
  ])
  t.equal(tools.length, 3)
})

t.test('one whose type is misspelt is a tool of which each call fails in a sentence', async t => {
  for (const type of ['api-call', 'toString', '', 'x'.repeat(200)]) {
    const { tools, context } = open(t, [fn(type, { parameters: PARAMETERS }, { name: 'weather' })])
    t.match(tools, [{ name: 'weather', parameters: PARAMETERS }])
    t.equal(await failureOf(() => tools[0]!.call({}, context)),
      `The function's type ${JSON.stringify(type.slice(0, 60))} is none of api_call, conditional, data_transform, webhook, python, mcp.`)
  }
})

t.test('one whose parameters are no schema of an object is left out and logged', async t => {
  const broken = [{ type: 'string' }, [1], '{broken', 'true', 3, true]
  const { tools, context } = open(t, broken.map(parameters => fn('api_call', { parameters })))
  t.same(tools, [])
  t.equal(context.logged.length, broken.length)
  t.match(context.logged[0], { message: 'function left out', reason: /no JSON Schema of an object/ })
})

t.test('names are valid and each there once, whatever they were', async () => {
  fc.assert(fc.property(fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('a', 'a b', 'a_b', 'x'.repeat(70), '天気', 'Wetter für Köln', ''))), wanted => {
    const names = new ToolNames(['a'])
    const taken = wanted.map((name, index) => names.take(name, index % 2 ? 'server' : undefined))
    return new Set(['a', ...taken]).size === taken.length + 1 && taken.every(name => /^[a-zA-Z0-9_-]{1,64}$/.test(name))
  }))
})

t.test('an api_call knows the arguments by their names, and answers with status and text', async t => {
  const server = await startServer(t, (response, asked, number) => respond(number === 1 ? 200 : 422, { asked: asked.url })(response, asked, number))
  const { call } = open(t, [fn('api_call', {
    url: `${server.url}/{{city}}?days={{days}}&all={{user_input}}`,
    method: 'POST',
    body_template: '{"city": "{{city}}", "days": {{days}}, "all": {{user_input}}, "agent": "{{agent_id}}"}',
    parameters: PARAMETERS
  })])
  const args = { city: 'Köln/Bonn' }
  t.equal(await call(args), `Status 200\n${JSON.stringify({ asked: `/K%C3%B6ln%2FBonn?days=&all=${encodeURIComponent(JSON.stringify(args))}` })}`)
  t.same(JSON.parse(server.requests[0]!.body), { city: 'Köln/Bonn', days: null, all: args, agent: AGENT }, 'an argument that was left out is nothing')
  t.match(await call({ city: 'x', agent_id: 'forged' }), /^Status 422\n/, 'what the server refuses is for the model to read')
  t.equal(JSON.parse(server.requests[1]!.body).agent, AGENT)
})

t.test('without a template the arguments are the body', async t => {
  const server = await startServer(t, respond(200))
  const { call } = open(t, [fn('api_call', { url: server.url, method: 'POST', parameters: PARAMETERS })])
  await call({ city: 'x', days: 2 })
  t.match(server.requests[0], { body: '{"city":"x","days":2}', headers: { 'content-type': 'application/json' } })
})

t.test('an api_call that cannot be made is a ToolError, and a long answer is whole: the tool step shortens it', async t => {
  const server = await startServer(t, response => { response.end('x'.repeat(MAX_RESULT_CHARACTERS * 2)) })
  const configs = [{ url: 'http://10.0.0.1/' }, { url: server.url, headers_json: '{' }, { url: `${server.url}/{{city}}` }, { url: server.url }]
  const { call } = open(t, configs.map(config => fn('api_call', { ...config, parameters: PARAMETERS })))
  t.match(await failureOf(call({ city: 'x' }, 0)), /not at a public address/)
  t.match(await failureOf(call({ city: 'x' }, 1)), /headers_json/)
  t.match(await failureOf(call({ city: '..' }, 2)), /would lead elsewhere/)
  t.equal(await call({ city: 'x' }, 3), `Status 200\n${'x'.repeat(MAX_RESULT_CHARACTERS * 2)}`)
})

t.test('a conditional and a data_transform work on what they are given', async t => {
  const { call } = open(t, [
    fn('conditional', { condition_keyword: 'köln', condition_response: 'It rains in {{city}}.', default_response: 'Unknown.', parameters: PARAMETERS }),
    fn('conditional', { condition_keyword: 'x', condition_response: 'y', parameters: PARAMETERS }),
    fn('data_transform', { transform_type: 'format', template: '{{city}}: {{days}}', parameters: PARAMETERS }),
    fn('data_transform', { transform_type: 'extract', template: 'numbers', parameters: { type: 'object', properties: { user_input: { type: 'string' } } } }),
    fn('data_transform', { transform_type: 'nonsense', parameters: PARAMETERS })
  ])
  t.equal(await call({ city: 'Köln' }, 0), 'It rains in Köln.')
  t.equal(await call({ city: 'Bonn' }, 0), 'Unknown.')
  t.equal(await call({ city: 'Bonn' }, 1), 'It has no answer to this.')
  t.equal(await call({ city: 'Bonn', days: 3 }, 2), 'Bonn: 3')
  t.equal(await call({ user_input: '1 and 2' }, 3), '{"numbers":["1","2"]}')
  t.match(await failureOf(call({ city: 'x' }, 4)), /transform_type must be/)
})

t.test('a webhook goes out by the queue, and the model is told whether it does', async t => {
  const config = { webhook_url: 'https://hooks.example/', payload_template: '{"city": "{{city}}", "all": {{content}}}', parameters: PARAMETERS }
  const { call, sent } = open(t, [fn('webhook', config), fn('webhook', { ...config, webhook_url: 'nonsense' })])
  t.equal(await call({ city: 'Köln' }), 'The webhook is on its way.')
  t.same(JSON.parse(sent[0]!.body('')), { city: 'Köln', all: { city: 'Köln' } })
  await call({ city: 'Köln' })
  t.not(sent[0]!.id, sent[1]!.id, 'two calls are two messages')
  t.match(await failureOf(call({ city: 'x' }, 1)), /URL is not valid/)
  t.match(await failureOf(open(t, [fn('webhook', config)], false).call({ city: 'x' })), /could not be sent/)
})
