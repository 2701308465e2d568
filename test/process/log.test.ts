import { once } from 'node:events'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { signAccessToken } from '../../src/auth/access-token.js'
import { delta, inTurn, openStream, refuse, type Reply, say, USAGE } from '../support/doubles/gateway.js'
import { BACKEND_SECRET, createDataDir, DEMO_AGENT, DEMO_KEY, DEMO_USER, endOf, JWT_SECRET, type Service, startService } from '../support/helper.js'
import { login } from '../support/socket-client.js'

/** In the message, the answer, and nowhere in a log. */
const ASKED = 'the-question-that-no-log-may-hold'
const ANSWERED = 'the-answer-that-no-log-may-hold'
const GUESS = 'jeesi_a_guess_that_no_log_may_hold'
const BODY = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: ASKED }] }

type Line = Record<string, unknown> & { level: string, message: string }

function linesOf ({ logs }: Service): Line[] {
  return logs.map(line => JSON.parse(line))
}

function linesWith (service: Service, prefix: string, from = 0): Line[] {
  return linesOf(service).slice(from).filter(({ message }) => message.startsWith(prefix))
}

/** The line of a request is written after its answer. */
async function lineWith (service: Service, prefix: string, from = 0): Promise<Line> {
  for (;;) {
    const [line] = linesWith(service, prefix, from)
    if (line) return line
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** Every line is JSON that Railway reads, and holds nothing that is nobody's business. */
function isClean (t: Test, { logs }: Service): void {
  for (const raw of logs) {
    const line = JSON.parse(raw) as Line
    t.equal(raw.indexOf('\n'), raw.length - 1, 'one line')
    t.ok(typeof line.level === 'string' && typeof line.message === 'string', raw)
    const found = [ASKED, ANSWERED, GUESS, DEMO_KEY, JWT_SECRET, BACKEND_SECRET, 'test-gateway-key', 'Bearer', 'eyJ']
      .filter(secret => raw.includes(secret))
    t.same(found, [], raw.slice(0, 500))
  }
}

/** Resolves with why a connection could not be made, or with its close. */
function closed (socket: WebSocket): Promise<unknown> {
  return new Promise(resolve => socket.on('error', resolve).on('close', resolve))
}

t.test('the lines of an execution', async t => {
  const service = await startService(t)
  const { gateway, request, execute, logs } = service
  const begin = async (fields: object = {}) => {
    const from = logs.length
    const { headers } = await execute({ ...BODY, ...fields })
    return { from, runId: headers.get('x-run-id')! }
  }

  t.test('tell each request, by [AGENT-EXECUTE]', async t => {
    const { from, runId } = await begin()
    const line = await lineWith(service, '[AGENT-EXECUTE]', from)
    t.match(line, { level: 'info', method: 'POST', route: '/api/agent/execute', statusCode: 200, ms: Number, runId, agentId: DEMO_AGENT, userId: DEMO_USER })
    await request('POST', '/api/agent/execute', { body: { agentId: 'no-uuid' } })
    t.match(await lineWith(service, '[AGENT-EXECUTE] POST /api/agent/execute 400'), {
      statusCode: 400, userId: DEMO_USER, code: 'bad_request', reason: /^messages is required\.$|^agentId must match/, address: '127.0.0.1'
    })
    await request('POST', '/api/agent/execute-validated', { body: {}, headers: { 'x-railway-secret': 'wrong' } })
    t.match(await lineWith(service, '[AGENT-EXECUTE] POST /api/agent/execute-validated 401'), { statusCode: 401, code: 'unauthorized', reason: String, address: '127.0.0.1' })
  })

  t.test('tell a run\'s life, by [AGENT-EXECUTOR]', async t => {
    const { from, runId } = await begin()
    await endOf(service, runId)
    const lines = linesWith(service, '[AGENT-EXECUTOR]', from)
    t.same(lines.map(({ message }) => message), ['[AGENT-EXECUTOR] started', '[AGENT-EXECUTOR] finished'])
    for (const line of lines) t.match(line, { level: 'info', runId, agentId: DEMO_AGENT, userId: DEMO_USER })
    const [started, finished] = lines
    const tokens = { promptTokens: USAGE.prompt_tokens, completionTokens: 5, totalTokens: 15 }
    t.match(started, { attempt: 1 })
    t.match(finished, { model: 'test/model', ms: Number, ...tokens, status: 'succeeded', creditsCharged: 1 })
  })

  t.test('tell what was retried and why', async t => {
    const number = gateway.calls.length
    const replies = inTurn(refuse(503), say(ANSWERED))
    gateway.reply = (response, call, count) => replies(response, call, count - number)
    const { from, runId } = await begin()
    t.match(linesWith(service, '[AGENT-EXECUTOR] retried', from), [{ runId, agentId: DEMO_AGENT, userId: DEMO_USER, code: 'gateway_unavailable', tries: 1, delayMs: Number }])
    t.equal(linesWith(service, '[AGENT-EXECUTOR] finished', from).length, 1)
  })

  t.test('tell why the gateway failed, each time, with its status, its sentence, the code of the cause, the model and the run', async t => {
    const failures: Array<[Reply, object]> = [
      [refuse(400, 'temperature is out of range'), { level: 'warn', code: 'gateway_rejected', status: 400, reason: 'the AI gateway answered 400: temperature is out of range' }],
      [refuse(402, 'Top up'), { level: 'error', code: 'gateway_payment_required', status: 402, reason: 'the AI gateway answered 402: Top up' }],
      [refuse(400, `${'x'.repeat(400)}`), { level: 'warn', reason: /^.{300}$/ }],
      [refuse(400, `I do not like ${ASKED}`), { level: 'warn', reason: 'the AI gateway answered 400: I do not like …' }]
    ]
    for (const [reply, line] of failures) {
      gateway.reply = reply
      const { from, runId } = await begin()
      t.match(linesWith(service, '[AGENT-EXECUTOR] the gateway failed', from), [{ ...line, runId, agentId: DEMO_AGENT, userId: DEMO_USER, model: 'google/gemini-2.5-flash', attempt: 1 }])
    }
    const away = await startService(t, {}, 'http://127.0.0.1:1/v1')
    const told = await away.execute(BODY)
    t.match(linesWith(away, '[AGENT-EXECUTOR] the gateway failed'), Array.from({ length: 4 }, () => (
      { level: 'warn', code: 'gateway_unavailable', cause: 'ECONNREFUSED', reason: /ECONNREFUSED/, runId: told.headers.get('x-run-id') })), 'of each try')
    t.match(linesOf(away).find(({ message }) => message.startsWith('the AI gateway')), { level: 'warn', message: 'the AI gateway cannot be reached: ECONNREFUSED', cause: 'ECONNREFUSED' }, 'and of the start')
  })

  t.test('tell of a refused message on the WebSocket what an answer of HTTP tells', async t => {
    const client = await login(t, service)
    const from = logs.length
    client.send({ type: 'agent_execute', agentId: DEMO_AGENT, messages: [{ role: 'tool', content: ASKED }] })
    await client.next('error')
    t.match(await lineWith(service, '[AGENT-EXECUTE] WebSocket agent_execute refused', from), { code: 'bad_request', reason: 'messages.0.tool_call_id is required.', address: '127.0.0.1', userId: DEMO_USER })
    await closed(new WebSocket(`${service.url.replace('http', 'ws')}/ws?token=${GUESS}`))
    t.match(await lineWith(service, 'WebSocket message refused', from), { code: 'unauthorized', reason: String, address: '127.0.0.1' })
  })

  t.test('tell which model a run failed with', async t => {
    gateway.reply = refuse(402)
    const from = logs.length
    await request('POST', '/api/agent/execute-validated', {
      body: { ...BODY, userId: DEMO_USER, agentConfig: { ai_model: 'vendor/model-x' }, stream: false }, headers: { 'x-railway-secret': BACKEND_SECRET }
    })
    t.match(linesWith(service, '[AGENT-EXECUTOR] started', from), [{ model: 'vendor/model-x' }])
    t.match(linesWith(service, '[AGENT-EXECUTOR] finished', from), [{ status: 'failed', code: 'gateway_payment_required', creditsCharged: 0, ms: Number, model: 'vendor/model-x' }])
  })
})

t.test('no line holds a secret or a text', async t => {
  const token = await signAccessToken(JWT_SECRET, DEMO_USER)
  const service = await startService(t)
  const { gateway, request, execute, url } = service
  gateway.reply = say(ANSWERED)

  t.test('of requests that go well', async t => {
    await execute(BODY)
    await execute(BODY, { 'x-api-key': DEMO_KEY, 'idempotency-key': ASKED })
    await request('POST', '/api/agent/execute-validated', {
      body: { ...BODY, userId: DEMO_USER, agentConfig: { system_prompt: ASKED, knowledge_base: [ASKED] }, stream: false }, headers: { 'x-railway-secret': BACKEND_SECRET }
    })
    t.ok(linesWith(service, '[AGENT-EXECUTE]').length > 0)
    isClean(t, service)
  })

  t.test('of requests that fail', async t => {
    await request('GET', '/api/credits', { headers: { authorization: `Bearer ${token}x` } })
    await request('GET', '/api/credits', { headers: { 'x-api-key': GUESS } })
    await request('POST', '/api/agent/execute-validated', { body: BODY, headers: { 'x-railway-secret': GUESS } })
    await request('POST', '/api/agent/execute', { body: `{"messages": "${ASKED}" …` })
    await request('POST', '/api/agent/execute', { body: { ...BODY, stream: ASKED, [ASKED]: ASKED } })
    const breaksOff: Reply = response => {
      openStream(response).end(`${delta(ANSWERED)}data: {"error":{"code":402,"message":"${ASKED}"}}\n\n`)
    }
    const echoes = [refuse(400, `I do not like ${ASKED}`), refuse(402, ASKED), refuse(401, 'test-gateway-key'), breaksOff]
    for (const reply of echoes) {
      gateway.reply = reply
      t.ok((await request('POST', '/api/agent/execute', { body: { ...BODY, stream: false } })).status >= 400)
    }
    t.ok(linesOf(service).some(({ level }) => level === 'warn'), 'failures of others are told')
    isClean(t, service)
  })

  t.test('of addresses with a token in them', async t => {
    const paths = ['/health', '/nothing', '/ws', '/%zz', '/api/credits', `/api/runs/${token}`, '/api/agent/execute']
    for (const path of paths) await request('GET', `${path}?token=${token}&apikey=${DEMO_KEY}`)
    isClean(t, service)
  })

  t.test('of WebSockets with a token in their address, wherever they lead', async t => {
    gateway.reply = say(ANSWERED)
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?token=${token}`)
    socket.on('open', () => socket.send(JSON.stringify({ type: 'agent_execute', ...BODY })))
    await new Promise<void>(resolve => socket.on('message', data => {
      if (JSON.parse(String(data)).type === 'agent_execution_complete') resolve()
    }))
    socket.close()
    await once(socket, 'close')
    t.match(await lineWith(service, '[AGENT-EXECUTE] WebSocket'), { runId: String, agentId: DEMO_AGENT, userId: DEMO_USER })
    await closed(new WebSocket(`${url}/ws?token=${token}x`))
    await closed(new WebSocket(`${url}/ws`, ['jeesi', `bearer.${token}x`]))
    for (const path of ['/nothing', '/health', '/api/credits']) await closed(new WebSocket(`${url}${path}?token=${token}`))
    isClean(t, service)
  })
})

t.test('what the database cannot take is told without what it was', async t => {
  const DATA_DIR = await createDataDir(t)
  const sql = new PGlite({ dataDir: join(DATA_DIR, 'postgres') })
  await sql.exec('alter table public.agent_runs add constraint contrary check (response = \'\')')
  await sql.close()
  const service = await startService(t, { DATA_DIR })
  service.gateway.reply = say(ANSWERED)
  await service.execute(BODY)
  t.match(await lineWith(service, '[AGENT-EXECUTOR] not settled'), { level: 'error', runId: String, err: Object })
  isClean(t, service)
})
