import t, { type Test } from 'tap'
import type { CreatedApiKey } from '../../src/contract/api-keys.js'
import { say } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, DEMO_KEY, OTHER_USER, PYTHON_AGENT, type Service, startService } from '../support/helper.js'
import { failureOf, metaOf, NEWEST, textOf } from './mcp-client.js'

/** A message as a client of 2025 sends it. */
const HEADERS = { accept: 'application/json, text/event-stream', 'content-type': 'application/json', authorization: `Bearer ${DEMO_KEY}`, 'mcp-protocol-version': '2025-11-25' }
const ENVELOPE = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {}
}
/** The same of 2026. */
const MODERN = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'demo_agent' }
const callOf = (more: object = {}, id: unknown = 1) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'demo_agent', arguments: { message: 'Hi' }, ...more } })
const modernCall = (more: object = {}) => callOf({ _meta: ENVELOPE, ...more })
const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list' }

interface Told { status: number, headers: Headers, raw: string, messages: any[] }

/** Sends a message, or whatever else, and reads all that is answered. */
async function post ({ url }: Pick<Service, 'url'>, body: unknown, headers: Record<string, string> = {}): Promise<Told> {
  const response = await fetch(`${url}/mcp`, { method: 'POST', headers: { ...HEADERS, ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) })
  const raw = await response.text()
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
  const messages = isStream ? [...raw.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!)) : raw === '' ? [] : [JSON.parse(raw)]
  return { status: response.status, headers: response.headers, raw, messages }
}

t.test('requests of MCP', async t => {
  const service = await startService(t, { RATE_LIMIT_MAX: '10000', CORS_ORIGINS: 'https://good.example', BODY_LIMIT: String(11 * 1024 * 1024) })
  t.beforeEach(() => { service.gateway.reply = say('Hello world') })
  const countRuns = async () => (await service.request('GET', '/api/runs?limit=100')).body.runs.length

  t.test('a call is answered in both protocols, and its end is the last that is said', async t => {
    for (const [body, headers] of [[callOf(), {}], [modernCall(), MODERN]] as const) {
      const { status, headers: told, messages } = await post(service, body, headers)
      t.equal(status, 200)
      t.match(told.get('content-type'), /^text\/event-stream/)
      t.equal(told.get('cache-control'), 'no-cache, no-transform')
      t.ok(told.get('x-content-type-options'))
      t.match(messages, [{ jsonrpc: '2.0', id: 1, result: { content: [{ type: 'text', text: 'Hello world' }] } }])
    }
  })

  t.test('what is no message of the protocol is refused in its words', async t => {
    const before = await countRuns()
    const cases: Array<[what: string, body: unknown, headers: Record<string, string>, status: number, code: number]> = [
      ['no JSON', '{', {}, 400, -32700],
      ['nothing', '', {}, 400, -32700],
      ['null', null, {}, 400, -32600],
      ['a number', 5, {}, 400, -32600],
      ['an object of another kind', { hello: 'world' }, {}, 400, -32600],
      ['a batch', [callOf(), callOf({}, 2)], {}, 400, -32600],
      ['an empty batch', [], {}, 400, -32600],
      ['a batch of the newer protocol', [modernCall()], MODERN, 400, -32600],
      ['a message of 10 MB beside the arguments', callOf({ _meta: { x: 'x'.repeat(10_000_000) } }), {}, 400, -32600],
      ['an id of 100 KB', callOf({}, 'x'.repeat(100_000)), {}, 400, -32600],
      ['another name in the headers', modernCall(), { ...MODERN, 'mcp-name': 'other' }, 400, -32020],
      ['another method in the headers', modernCall(), { ...MODERN, 'mcp-method': 'tools/list' }, 400, -32020],
      ['another version in the headers', modernCall(), { ...MODERN, 'mcp-protocol-version': '2025-11-25' }, 400, -32020],
      ['no envelope', callOf(), MODERN, 400, -32602],
      ['an unknown version', callOf(), { 'mcp-protocol-version': '2020-01-01' }, 400, -32000],
      ['text that claims to be none', callOf(), { 'content-type': 'text/plain' }, 415, -32000],
      ['a form', 'a=b', { 'content-type': 'multipart/form-data; boundary=x' }, 415, -32000],
      ['who does not take streams', callOf(), { accept: 'application/json' }, 406, -32000],
      ['a body beyond the limit', callOf({ arguments: { message: 'x'.repeat(12 * 1024 * 1024) } }), {}, 413, -32000],
      ['a bad key', callOf(), { 'idempotency-key': 'ä' }, 400, -32600]
    ]
    for (const [what, body, headers, status, code] of cases) {
      const told = await post(service, body, headers)
      t.match({ status: told.status, messages: told.messages }, { status, messages: [{ jsonrpc: '2.0', error: { code, message: String } }] }, what)
      t.notMatch(told.raw, /\bat .*\.(ts|js):\d|node_modules/, `${what}: no stack`)
    }
    t.equal(await countRuns(), before, 'nothing has run')
  })

  t.test('a request that cannot be is an error of JSON-RPC', async t => {
    const rpc = async (body: object) => (await post(service, body)).messages[0]
    t.match(await rpc({ jsonrpc: '2.0', id: 1, method: 'resources/list' }), { id: 1, error: { code: -32601 } })
    t.match(await rpc({ jsonrpc: '2.0', id: 1, method: 'no/such/method' }), { error: { code: -32601 } })
    t.match(await rpc({ ...LIST, params: { cursor: 'x' } }), { error: { code: -32602, message: /one page/ } })
    t.match(await rpc({ jsonrpc: '2.0', id: 1, method: 'tools/call' }), { error: { code: -32602 } })
    t.match(await rpc(callOf({ name: 5 })), { error: { code: -32602 } })
    for (const wrong of [['x'], 'text', 5]) t.match(await rpc(callOf({ arguments: wrong })), { error: { code: -32602 } })
    t.match(await rpc(callOf({ arguments: null })), { error: { code: -32602 } })
    t.match(await rpc(callOf({ arguments: undefined })), { result: { isError: true } })
    const long = await rpc(callOf({ name: 'x'.repeat(10_000) }))
    t.match(long, { error: { code: -32602 } })
    t.ok(JSON.stringify(long).length < 500, 'what was wrong is not quoted as a whole')
  })

  t.test('a message of 10 MB is answered', async t => {
    const { messages } = await post(service, callOf({ arguments: { message: 'x'.repeat(10_000_000), more: 'ignored' } }))
    t.match(messages.at(-1), { result: { content: [{ text: 'Hello world' }] } })
    t.equal(service.gateway.calls.at(-1)!.body.messages.at(-1).content.length, 10_000_000)
  })

  t.test('progress that is wanted under a long name is not told', async t => {
    const progressOf = async (progressToken: unknown) => (await post(service, callOf({ _meta: { progressToken } }))).messages.filter(({ method }) => method === 'notifications/progress')
    t.match(await progressOf('a token'), [{ params: { progressToken: 'a token', progress: 1, message: 'Started', _meta: { 'jeesi/run': { runId: String } } } }])
    t.match(await progressOf(0), [{ params: { progressToken: 0 } }])
    t.same(await progressOf('x'.repeat(1000)), [])
  })

  t.test('notifications and answers are taken, and nothing comes of them', async t => {
    for (const body of [
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } },
      { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: { a: 1 } } },
      { jsonrpc: '2.0', id: 1, result: {} }
    ]) t.match(await post(service, body, { 'mcp-session-id': 'x' }), { status: 202, raw: '' })
  })

  t.test('a stream of changes ends at once, since none are told', async t => {
    const { status, messages } = await post(service, { jsonrpc: '2.0', id: 1, method: 'subscriptions/listen', params: { notifications: { toolsListChanged: true }, _meta: ENVELOPE } }, { ...MODERN, 'mcp-method': 'subscriptions/listen', 'mcp-name': '' })
    t.equal(status, 200)
    t.match(messages, [{ method: 'notifications/subscriptions/acknowledged', params: { notifications: {} } }, { id: 1, result: { resultType: 'complete' } }])
  })

  t.test('an address without sessions takes messages alone', async t => {
    for (const method of ['GET', 'DELETE', 'PUT']) {
      const response = await fetch(`${service.url}/mcp`, { method, headers: HEADERS })
      t.equal(response.status, 405, method)
      t.equal(response.headers.get('allow'), 'POST')
      t.match(await response.json(), { jsonrpc: '2.0', id: null, error: { code: -32000, data: { code: 'method_not_allowed', statusCode: 405 } } })
    }
  })

  t.test('who says nothing of itself is told how to', async t => {
    const response = await fetch(`${service.url}/mcp`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(LIST) })
    t.equal(response.status, 401)
    t.equal(response.headers.get('www-authenticate'), 'Bearer')
    t.match(await response.json(), { jsonrpc: '2.0', id: null, error: { code: -32000, message: String, data: { code: 'unauthorized', requestId: String } } })
  })

  t.test('pages of other origins are refused, before anything else is looked at', async t => {
    for (const origin of ['https://evil.example', 'http://good.example', 'null', service.url]) {
      const told = await post(service, LIST, { origin, authorization: '' })
      t.match(told, { status: 403, messages: [{ error: { code: -32000, message: 'Pages of this origin may not ask here.', data: { code: 'forbidden' } } }] }, origin)
    }
    t.equal((await post(service, LIST, { origin: 'https://good.example' })).status, 200)
    const preflight = await fetch(`${service.url}/mcp`, {
      method: 'OPTIONS', headers: { origin: 'https://good.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'mcp-protocol-version' }
    })
    for (const name of ['mcp-protocol-version', 'mcp-method', 'mcp-name', 'mcp-session-id', 'authorization']) t.match(preflight.headers.get('access-control-allow-headers'), name)
  })

  t.test('keys see and call what they are for', async t => testKeys(t, service))
  t.test('a client of the older protocol cancels its own calls alone', async t => testCancelled(t, service))
})

async function testKeys (t: Test, service: Service): Promise<void> {
  const origin = 'https://good.example'
  const create = async (body: object): Promise<CreatedApiKey> => (await service.request('POST', '/api/keys', { body: { name: 'A key', ...body } })).body
  const connect = (key: string, more: Record<string, string> = {}) => NEWEST.connect(t, service.url, { headers: { authorization: `Bearer ${key}`, ...more } })
  const restricted = await create({ agentIds: [PYTHON_AGENT] })
  const client = await connect(restricted.key)
  t.match(await client.list(), [{ name: 'python_demo_agent' }])
  t.match(await failureOf(client.call('demo_agent', 'Hi')), { code: -32602 })
  t.match(await failureOf(client.call(DEMO_AGENT, 'Hi')), { code: -32602 })
  const poor = await connect((await create({ requestsPerDay: 1 })).key)
  t.equal(textOf(await poor.call('demo_agent', 'Hi')), 'Hello world')
  t.match(metaOf(await poor.call('demo_agent', 'Hi')).error, { code: 'key_budget_exhausted', retryable: false })
  const page = await create({ publishable: true, agentIds: [DEMO_AGENT], origins: [origin] })
  const visiting = await connect(page.key, { origin })
  t.match(await visiting.list(), [{ name: 'demo_agent' }])
  t.equal(textOf(await visiting.call('demo_agent', 'Hi')), 'Hello world')
  t.match(await failureOf(connect(page.key)), { message: /403/ }, 'a page\'s key is for pages of its origins')
  await service.request('DELETE', `/api/keys/${restricted.id}`)
  t.match(String((await failureOf(client.list())).message), /401|no longer active/)
}

/** Calls an agent that does not answer, as a client that has a session, until it is told so. */
async function testCancelled (t: Test, service: Service): Promise<void> {
  service.gateway.reply = response => { response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': waiting\n\n') }
  const initialize = { jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } } }
  const sessionOf = async () => (await post(service, initialize)).headers.get('mcp-session-id')!
  const [mine, other] = [await sessionOf(), await sessionOf()]
  t.not(mine, other)
  const asked = service.gateway.nextCall()
  const calling = post(service, callOf({}, 7), { 'mcp-session-id': mine })
  const { closed } = await asked
  const cancel = (requestId: unknown, session: string, headers = {}) =>
    post(service, { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } }, { 'mcp-session-id': session, ...headers })
  await cancel(7, other)
  await cancel('7', mine)
  await cancel(8, mine)
  await cancel(7, mine, await bearer(OTHER_USER))
  t.match((await service.request('GET', '/api/runs?limit=1')).body.runs, [{ status: 'running' }])
  await cancel(7, mine)
  t.same((await calling).messages, [], 'a call that was cancelled is not answered')
  await closed
  t.match((await service.request('GET', '/api/runs?limit=1')).body.runs, [{ status: 'cancelled' }])
}
