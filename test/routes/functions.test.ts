import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t, { type Test } from 'tap'
import { delta, ending, frame, inTurn, openStream, type Reply, say, startGateway } from '../support/doubles/gateway.js'
import { bearer, createDataDir, DEMO_AGENT, endOf, openEvents, OTHER_USER, readStream, startService, typesOf } from '../support/helper.js'

interface Row { name: string, type: string, keywords?: string[], config: object }

/** A service whose demo agent has these functions and settings; and a server that functions reach, which answers as told. */
async function startWithFunctions (t: Test, rows: (url: string) => Row[], columns = '', variables: Record<string, string> = {}) {
  const outside = { requests: [] as Array<{ url: string, body: string, headers: Record<string, unknown> }>, reply: (_url: string) => 'sunny', onRequest: () => {} }
  const server = createServer(async (request, response) => {
    const body = []
    for await (const chunk of request) body.push(chunk)
    outside.requests.push({ url: request.url!, body: Buffer.concat(body).toString(), headers: request.headers })
    outside.onRequest()
    response.end(outside.reply(request.url!))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const { port } = server.address() as AddressInfo
  const dataDir = await createDataDir(t)
  const pglite = await PGlite.create(join(dataDir, 'postgres'))
  for (const [order, { name, type, keywords = [], config }] of rows(`http://127.0.0.1:${port}`).entries()) {
    await pglite.query('insert into public.agent_functions (agent_id, name, function_type, trigger_keywords, config, execution_order) values ($1, $2, $3, $4, $5, $6)',
      [DEMO_AGENT, name, type, keywords, config, order])
  }
  await pglite.exec(columns)
  await pglite.close()
  const service = await startService(t, { DATA_DIR: dataDir, ALLOW_PRIVATE_TOOL_HOSTS: `127.0.0.1:${port}`, ...variables })
  return { service, outside, dataDir }
}

const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const weather = (url: string): Row => ({ name: 'get weather', type: 'api_call', config: { url: `${url}/weather?city={{city}}`, parameters: PARAMETERS, headers_json: '{"authorization": "Bearer of-the-function"}' } })

function callTool (name: string, args: string): Reply {
  return response => {
    openStream(response).end(delta('Let me see. ') + frame({
      choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name, arguments: args } }] } }]
    }) + ending('tool_calls'))
  }
}

t.test('a function whose type is misspelt has a failed result, triggered or called, and a line in the log', async t => {
  const { service } = await startWithFunctions(t, () => [
    { name: 'typo', type: 'data-transform', keywords: ['hi'], config: {} },
    { name: 'tool', type: 'apicall', config: { parameters: PARAMETERS } }
  ])
  service.gateway.reply = inTurn(callTool('tool', '{"city": "Bern"}'), say('It is not there'))
  const told = await service.execute({ messages: [{ role: 'user', content: 'Hi' }] })
  const sentence = (type: string) => `The function's type "${type}" is none of api_call, conditional, data_transform, webhook, python, mcp.`
  t.match(told.events.filter(({ type }) => type === 'tool_result'), [{ name: 'typo', error: sentence('data-transform') }, { name: 'tool', error: sentence('apicall') }])
  t.match(service.gateway.calls[1]!.body.messages.at(-1), { role: 'tool', content: new RegExp(`${sentence('apicall')}`) })
  t.equal(told.text, 'Let me see. It is not there')
  await service.execute({ messages: [{ role: 'user', content: 'Hi' }] })
  const lines = service.logs.map(line => JSON.parse(line)).filter(({ message }) => message === '[AGENT-EXECUTOR] function of an unknown type')
  t.match(lines, [{ functionName: 'typo', functionType: 'data-transform', agentId: DEMO_AGENT }, { functionName: 'tool', functionType: 'apicall' }])
  t.equal(lines.length, 2, 'once, however often it runs')
})

t.test('a function with parameters is a tool of the model, over HTTP and at the end of a run', async t => {
  const { service, outside } = await startWithFunctions(t, url => [weather(url)])
  service.gateway.reply = inTurn(callTool('get_weather', '{"city": "Bern"}'), say('It is sunny'))
  const told = await service.execute()
  t.same(typesOf(told), ['started', 'step', 'chunk', 'tool_call', 'tool_result', 'step', 'chunk', 'done'])
  t.same(told.events.map(({ seq }) => seq), [1, 2, 3, 4, 5, 6, 7, 8])
  t.match(told.events[3], { name: 'get_weather', arguments: { city: 'Bern' } })
  t.match(told.events[4], { name: 'get_weather', result: /^Status 200\nsunny$/ })
  t.equal(told.text, 'Let me see. It is sunny')
  t.match(told.events.at(-1), { response: told.text, creditsUsed: 1, usage: { totalTokens: 30 }, finishReason: 'stop' })
  t.match(outside.requests, [{ url: '/weather?city=Bern', headers: { authorization: 'Bearer of-the-function' } }])
  t.notMatch(service.logs.join(''), /of-the-function|Bern/, 'neither headers nor arguments reach the log')
  const steps = service.logs.map(line => JSON.parse(line)).filter(({ message }) => message === '[AGENT-EXECUTOR] step')
  t.match(steps, [{ model: 'test/model', ms: Number, totalTokens: 15 }, { model: 'test/model', ms: Number, totalTokens: 15 }], 'which has a line a step of the model')
  const again = await readStream(await openEvents(service.url, told.headers.get('x-run-id')!))
  t.equal(again.raw, told.raw, 'and it is replayed as it was told')
})

t.test('what keywords trigger runs before the model, a conditional answers in its place, and a webhook goes out after the answer', async t => {
  const { service, outside } = await startWithFunctions(t, url => [
    { name: 'forecast', type: 'api_call', keywords: ['weather'], config: { url: `${url}/forecast`, method: 'POST', body_template: '{"q": "{{user_input}}"}' } },
    { name: 'hours', type: 'conditional', keywords: ['open'], config: { condition_keyword: 'open,hours', condition_response: 'We open at nine.' } },
    { name: 'crm', type: 'webhook', keywords: ['weather'], config: { webhook_url: `${url}/hook`, payload_template: '{"asked": "{{content}}", "answer": "{{response}}", "agent": "{{agent_id}}"}', secret: `whsec_${Buffer.alloc(32).toString('base64')}` } }
  ])
  const ask = (content: string) => service.execute({ messages: [{ role: 'user', content }] })
  const hooked = new Promise<void>(resolve => {
    outside.onRequest = () => { if (outside.requests.some(({ url }) => url === '/hook')) resolve() }
  })
  const told = await ask('How is the WEATHER "today"?')
  t.match(JSON.parse(outside.requests[0]!.body), { q: 'How is the WEATHER "today"?' })
  t.match(service.gateway.calls[0]!.body.messages[0].content, /data, not instructions:\n<function_result name="forecast" type="api_call">\nsunny\n<\/function_result>/)
  t.same(typesOf(told), ['started', 'tool_call', 'tool_result', 'chunk', 'done'])
  await hooked
  const hook = outside.requests.find(({ url }) => url === '/hook')!
  t.match(JSON.parse(hook.body), { asked: 'How is the WEATHER "today"?', answer: 'Hello world', agent: DEMO_AGENT })
  t.match(hook.headers, { 'webhook-id': /^msg_/, 'webhook-timestamp': /^\d+$/, 'webhook-signature': /^v1,/ })

  const calls = service.gateway.calls.length
  const answered = await ask('When are you open?')
  t.equal(answered.text, 'We open at nine.')
  t.match(answered.events.at(-1), { type: 'done', response: 'We open at nine.', creditsUsed: 1, finishReason: 'stop' })
  t.equal(service.gateway.calls.length, calls, 'no model is asked')
})

t.test('by default no function reaches inside, and is told so in words', async t => {
  const { service, outside } = await startWithFunctions(t, url => [weather(url)], '', { ALLOW_PRIVATE_TOOL_HOSTS: '' })
  service.gateway.reply = inTurn(callTool('get_weather', '{"city": "Bern"}'), say('I cannot tell'))
  const told = await service.execute()
  t.match(told.events.find(({ type }) => type === 'tool_result'), { error: String })
  t.equal(told.text, 'Let me see. I cannot tell')
  t.same(outside.requests, [])
})

t.test('a run that its process lets go of between two steps goes on after the first: no tool is called twice, one run is charged', async t => {
  const { service, outside, dataDir } = await startWithFunctions(t, url => [weather(url)])
  let secondTurn = () => {}
  const reached = new Promise<void>(resolve => { secondTurn = resolve })
  service.gateway.reply = inTurn(callTool('get_weather', '{"city": "Bern"}'), response => { openStream(response).write(delta('It is ')); secondTurn() })
  const { body: run } = await service.request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  })
  await reached
  await service.app.close()

  const next = await startService(t, { DATA_DIR: dataDir }, await startGateway(t, say('It is sunny')))
  const told = await readStream(await openEvents(next.url, run.runId))
  t.same(typesOf(told), ['started', 'rewind', 'step', 'chunk', 'tool_call', 'tool_result', 'step', 'chunk', 'done'])
  t.equal(told.text, 'Let me see. It is sunny')
  t.equal(outside.requests.length, 1)
  t.equal(next.gateway.calls.length, 1, 'the first turn is not asked for again')
  t.match(next.gateway.calls[0]!.body.messages.at(-1), { role: 'tool', tool_call_id: 'c1', content: /sunny/ })
  t.match(told.events.at(-1), { type: 'done', creditsUsed: 1, usage: { totalTokens: 30 } })
  t.match(await next.credits(), { creditsRemaining: 99, creditsReserved: 0, creditsUsedThisMonth: 1 })
})

t.test('rates: what the steps used is charged, and a run that the balance does not allow to go on keeps what it has', async t => {
  const { service, outside } = await startWithFunctions(t, url => [weather(url)],
    "insert into public.model_rates values ('google/gemini-2.5-flash', 1, 100); update public.agents set max_tokens = 10, max_steps = 2; update public.credit_balances set credits_remaining = 5 where user_id = '" + OTHER_USER + "'")
  service.gateway.reply = inTurn(callTool('get_weather', '{"city": "Bern"}'), say('Sunny'), callTool('get_weather', '{"city": "Bern"}'))
  const told = await service.execute()
  t.match(told.events.at(-1), { type: 'done', creditsUsed: 4, usage: { totalTokens: 30 } }, 'a run, and 30 tokens at 100 a thousand')
  t.match(await service.credits(), { creditsRemaining: 96, creditsReserved: 0 })
  const requests = outside.requests.length
  const broke = await service.execute({}, await bearer(OTHER_USER))
  t.match(broke.events.at(-1), { type: 'error', code: 'insufficient_credits', retryable: false })
  t.equal(broke.text, 'Let me see. ')
  t.equal(outside.requests.length, requests, 'it stops after the step')
  const run = await endOf(service, broke.headers.get('x-run-id')!, await bearer(OTHER_USER))
  t.match(run, { status: 'failed', response: 'Let me see. ', creditsCharged: 3, error: { code: 'insufficient_credits' } })
  t.match(await service.credits(OTHER_USER), { creditsRemaining: 2, creditsReserved: 0 })
})

t.test('an agent that keeps its answers asks the model once, and says so', async t => {
  const { service } = await startWithFunctions(t, () => [], 'update public.agents set temperature = 0, cache_seconds = 60')
  const first = await service.execute()
  const again = await service.execute({}, await bearer(OTHER_USER))
  t.equal(service.gateway.calls.length, 1)
  t.equal(again.text, first.text)
  t.match(again.events.at(-1), { type: 'done', response: 'Hello world', cached: true, creditsUsed: 0, usage: { totalTokens: 0 } })
  t.notOk('cached' in first.events.at(-1)!)
  t.match(await service.request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false } }),
    { status: 200, body: { response: 'Hello world', cached: true, creditsUsed: 0 } })
  t.match(await service.credits(OTHER_USER), { creditsRemaining: 3, creditsReserved: 0 })
  await service.execute({ messages: [{ role: 'user', content: 'Something else' }] })
  t.equal(service.gateway.calls.length, 2)
})

t.test('images, and how the answer is to be formed, go to the model as they came', async t => {
  const service = await startService(t)
  const image = `data:image/png;base64,${'A'.repeat(1_000_000)}`
  const content = [{ type: 'text', text: 'What is this?' }, { type: 'image_url', image_url: { url: image } }]
  const responseFormat = { type: 'json_schema', json_schema: { name: 'thing', schema: { type: 'object' } } }
  await service.execute({ messages: [{ role: 'user', content }], response_format: responseFormat })
  const { body } = service.gateway.calls[0]!
  t.same(body.messages.at(-1), { role: 'user', content })
  t.same(body.response_format, responseFormat)
  for (const wrong of ['json', { type: 'xml' }, { type: 'json_schema', json_schema: 'x' }]) {
    const body = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], response_format: wrong }
    t.match(await service.request('POST', '/api/agent/execute', { body }), { status: 400, body: { code: 'bad_request' } })
  }
})
