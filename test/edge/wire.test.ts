import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { delta, ending, inTurn, refuse, type Reply, say, startGateway, USAGE } from '../support/doubles/gateway.js'
import { findDeno, SIMPLE_AGENT, startEdge, startProject, startWorld } from '../support/edge.js'
import { DEMO_USER } from '../support/helper.js'

const STREAM = delta('Hello') + delta(' world') + ending()
const WHOLE = { model: 'test/model', choices: [{ index: 0, message: { role: 'assistant', content: 'Hello world' }, finish_reason: 'stop' }], usage: USAGE }
const EVENTS = { 'content-type': 'text/event-stream' }
const JSON_TYPE = { 'content-type': 'application/json' }
const ENDED = { type: 'done', response: 'Hello world', finishReason: 'stop', usage: { totalTokens: 15, estimated: false } }

function send (body: string | Uint8Array, headers: Record<string, string>, status = 200): Reply {
  return response => { response.writeHead(status, headers).end(body) }
}

t.test('the edge function reads what gateways send on the wire as the service does', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const { project, edge, gateway } = await startWorld(t, deno)
  const lastLine = (text: string) => edge.logs.findLast(line => line.includes(text)) ?? ''

  t.test('identity is asked for, and gzip, deflate and br are read', async t => {
    for (const [coding, encode] of [['gzip', gzipSync], ['deflate', deflateSync], ['br', brotliCompressSync]] as const) {
      gateway.reply = send(encode(STREAM), { ...EVENTS, 'content-encoding': coding })
      t.match((await edge.execute()).events.at(-1), ENDED, coding)
      t.equal(gateway.calls.at(-1)!.headers['accept-encoding'], 'identity')
    }
    gateway.reply = send(deflateRawSync(STREAM), { ...EVENTS, 'content-encoding': 'deflate' })
    t.match((await edge.execute()).events.at(-1), ENDED, 'deflate without the header of zlib')
  })

  t.test('307 and 308 are followed on the same host alone', async t => {
    const from = gateway.calls.length
    const replies = inTurn(send('', { location: '/v2' }, 307), send('', { location: '/v3' }, 308), say('Hello', ' world'))
    gateway.reply = (response, call, number) => replies(response, call, number - from)
    t.match((await edge.execute()).events.at(-1), ENDED)
    t.same(gateway.calls.slice(from).map(({ path }) => path), ['/v1/chat/completions', '/v2', '/v3'])
    t.same(new Set(gateway.calls.slice(from).map(({ headers }) => headers.authorization)).size, 1)
    const other = await startGateway(t)
    gateway.reply = send('', { location: other.url }, 307)
    t.match((await edge.execute()).events.at(-1), { type: 'error', code: 'gateway_unavailable' })
    t.equal(other.calls.length, 0)
  })

  t.test('a body is read for what it is, whatever its content type says', async t => {
    const lines = [{ choices: [{ index: 0, delta: { content: 'Hello' } }] }, { choices: [{ index: 0, delta: { content: ' world' } }] }, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: USAGE }]
    const ndjson = lines.map(line => `${JSON.stringify(line)}\n`).join('')
    for (const [what, body, headers] of [
      ['JSON labelled as a stream', JSON.stringify(WHOLE, null, 1), EVENTS],
      ['a stream labelled as JSON', `: hi\n\n${STREAM}`, JSON_TYPE],
      ['ndjson', ndjson, { 'content-type': 'application/x-ndjson' }],
      ['ndjson labelled as JSON', ndjson, JSON_TYPE]
    ] as const) {
      gateway.reply = send(body, headers)
      t.match((await edge.execute()).events.at(-1), ENDED, what)
    }
  })

  t.test('why the gateway failed is in its log and in the run that admins read, for each try, without what it quotes', async t => {
    gateway.reply = send('<html><head><title>502 Bad Gateway</title></head></html>', { 'content-type': 'text/html' }, 502)
    const told = await edge.execute({ messages: [{ role: 'user', content: 'a question in confidence' }] })
    const runId = told.headers.get('x-run-id')!
    t.match(JSON.parse(lastLine('the gateway failed')), { level: 'warn', code: 'gateway_unavailable', status: 502, reason: 'the AI gateway answered 502: 502 Bad Gateway', model: 'google/gemini-2.5-flash', runId })
    const [{ run }] = await project.query('select public.admin_get_run($1, $2) as run', [DEMO_USER, runId]) as [{ run: any }]
    t.match(run, { status: 'failed', reason: /502 Bad Gateway/, failures: [{ attempt: 1, status: 502 }, { status: 502, reason: 'the AI gateway answered 502: 502 Bad Gateway' }] })

    gateway.reply = refuse(401, 'no such key: test-gateway-key')
    await edge.execute()
    t.match(JSON.parse(lastLine('the gateway failed')), { level: 'error', code: 'gateway_unauthorized', status: 401, reason: 'the AI gateway answered 401: no such key: …' })
    gateway.reply = response => { response.socket!.destroy() }
    await edge.execute()
    t.match(JSON.parse(lastLine('the gateway failed')), { level: 'warn', code: 'gateway_unavailable', reason: String })
  })

  t.test('Retry-After-Ms is read, and half of a surrogate pair is sent as U+FFFD', async t => {
    const from = gateway.calls.length
    gateway.reply = (response, call, number) => (number === from + 1 ? refuse(429, 'slow', { 'retry-after-ms': '600' }) : say('Hello', ' world'))(response, call, number)
    const told = await edge.execute({ messages: [{ role: 'user', content: 'a\ud800' }] })
    t.match(told.events.find(({ type }) => type === 'retry'), { delayMs: 600 })
    t.match(gateway.calls.at(-1)!.body.messages.at(-1), { content: 'a\ufffd' })
  })

  t.test('a history with calls of tools is taken and checked', async t => {
    gateway.reply = say('Hello', ' world')
    const call = { id: 'c1', type: 'function', function: { name: 'weather', arguments: '{}' } }
    const history = [{ role: 'developer', content: 'Be brief.' }, { role: 'user', content: 'Weather?' }, { role: 'assistant', content: null, tool_calls: [call] }, { role: 'tool', tool_call_id: 'c1', content: 'sunny' }]
    await edge.execute({ messages: history.map(message => ({ ...message, id: 'm' })) })
    t.strictSame(gateway.calls.at(-1)!.body.messages.slice(1), history)
    const refused = await edge.request('POST', '', { body: { agentId: SIMPLE_AGENT, messages: history.slice(3) } })
    t.match(refused, { status: 400, body: { code: 'bad_request', details: [{ path: 'messages.0.tool_call_id' }] } })
    t.match(JSON.parse(lastLine('POST 400')), { code: 'bad_request', reason: /^messages\.0\.tool_call_id has no call before it/ })
    t.equal((await edge.request('POST', '', { body: {}, headers: { 'x-api-key': 'jsk_unknown', 'x-forwarded-for': '203.0.113.7, 10.0.0.1' } })).status, 401)
    t.match(JSON.parse(lastLine('POST 401')), { code: 'unauthorized', reason: String, address: '203.0.113.7' })
  })

  t.test('an answer that did not end by stop is kept for nobody', async t => {
    await project.query('update public.agents set cache_seconds = 60, temperature = 0 where id = $1', [SIMPLE_AGENT])
    const ask = async (finish: string) => {
      gateway.reply = send(delta('Hello') + ending(finish), EVENTS)
      return (await edge.execute({ messages: [{ role: 'user', content: 'The same' }] })).events.at(-1) as { cached?: boolean, finishReason?: string }
    }
    for (const finish of ['length', 'content_filter', 'stop']) t.match(await ask(finish), { finishReason: finish, cached: undefined }, finish)
    t.match(await ask('length'), { cached: true, finishReason: 'stop' })
  })
})

t.test('a variable that cannot be sent, or is no base of a gateway, is a line of the edge function that names it, and no value', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const project = await startProject(t)
  const broken = 'half\nhalf'
  const edge = await startEdge(t, deno, project, { LOVABLE_API_KEY: broken, RAILWAY_BACKEND_SECRET: broken, AI_GATEWAY_URL: 'https://ai.example/v1?key=half' })
  for (const problem of ['LOVABLE_API_KEY must be one line of ASCII', 'RAILWAY_BACKEND_SECRET must be one line of ASCII', 'AI_GATEWAY_URL must have no ? and no #']) {
    t.ok(edge.logs.some(line => line.includes(`[AGENT-RUNTIME] ${problem}`)), problem)
  }
  t.notMatch(edge.logs.join('\n'), /half/)
  t.match(await edge.request('POST', '', { body: { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false } }), { status: 503, body: { code: 'not_configured' } })
})
