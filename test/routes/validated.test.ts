import t from 'tap'
import { type Call, refuse, say } from '../support/doubles/gateway.js'
import {
  BACKEND_SECRET, DEMO_AGENT, DEMO_USER, endOf, OTHER_USER, PYTHON_AGENT, readStream, type Service, startService, typesOf
} from '../support/helper.js'

const UNKNOWN = '99999999-9999-4999-8999-999999999999'
const SECRET = { 'x-railway-secret': BACKEND_SECRET }

/** A run as the edge function asks for it. */
function bodyOf (fields: object = {}) {
  return {
    userId: DEMO_USER,
    agentId: DEMO_AGENT,
    agentConfig: { name: 'Forwarded agent' },
    messages: [{ role: 'user', content: 'Hi' }],
    stream: false,
    ...fields
  }
}

function ask ({ request }: Service, fields: object = {}, headers: Record<string, string> = {}) {
  return request('POST', '/api/agent/execute-validated', { body: bodyOf(fields), headers: { ...SECRET, ...headers } })
}

/** The call that the gateway got for a run with this configuration. */
async function callFor (service: Service, agentConfig: object, fields: object = {}): Promise<Call['body']> {
  const { status, body } = await ask(service, { agentConfig, ...fields })
  if (status !== 200) throw new Error(JSON.stringify(body))
  return service.gateway.calls.at(-1)!.body
}

t.test('executing an agent for the edge function', async t => {
  const service = await startService(t)
  const { gateway, request } = service
  t.beforeEach(() => { gateway.reply = say('Hello', ' world') })
  const spent = async () => (await request('GET', '/api/admin/stats')).body.total_credits_used

  t.test('answers in one piece, or as a stream where nothing is said about it', async t => {
    const whole = await ask(service)
    t.equal(whole.status, 200)
    t.match(whole.body, { response: 'Hello world', executionTime: Number, creditsUsed: 0, finishReason: 'stop', runId: whole.headers.get('x-run-id') })
    const response = await fetch(`${service.url}/api/agent/execute-validated`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...SECRET },
      body: JSON.stringify(bodyOf({ stream: undefined }))
    })
    const told = await readStream(response)
    t.match(told.headers.get('content-type'), /^text\/event-stream/)
    t.equal(told.text, 'Hello world')
    t.equal(typesOf(told)[0], 'started')
    t.match(told.events.at(-1), { type: 'done', response: 'Hello world', creditsUsed: 0 })
    t.ok(told.raw.endsWith('data: [DONE]\n\n'))
  })

  t.test('never charges, however the run ends', async t => {
    const [credits, ledger] = [await service.credits(), await spent()]
    t.match((await ask(service)).body, { creditsUsed: 0 })
    gateway.reply = refuse(402)
    t.match(await ask(service), { status: 503, body: { code: 'gateway_payment_required', runId: String } })
    gateway.reply = say('Hello')
    const poor = await Promise.all(Array.from({ length: 5 }, () => ask(service, { userId: OTHER_USER })))
    t.same(poor.map(({ status }) => status), [200, 200, 200, 200, 200], 'more runs than the user has credits')
    t.same(await service.credits(), credits)
    t.match(await service.credits(OTHER_USER), { creditsRemaining: 3, creditsReserved: 0, creditsUsedThisMonth: 0 })
    t.equal(await spent(), ledger)
  })

  t.test('takes the edge function\'s word for who the user and the agent are', async t => {
    t.match(await ask(service, { agentId: UNKNOWN }), { status: 200, body: { response: 'Hello world' } }, 'an agent unknown here')
    t.match(await ask(service, { userId: UNKNOWN }), { status: 200, body: { response: 'Hello world' } }, 'a user unknown here')
    t.match(await ask(service, { agentId: PYTHON_AGENT }), { status: 200, body: { response: 'Hello world' } }, 'the configuration given, not the agent\'s row')
  })

  t.test('leaves a run that its user can look up', async t => {
    const { body } = await ask(service, { agentId: UNKNOWN })
    t.match(await endOf(service, body.runId), { agentId: UNKNOWN, status: 'succeeded', response: 'Hello world', creditsCharged: 0, creditsReserved: 0 })
  })

  t.test('hands the configuration to the gateway', async t => {
    const sent = await callFor(service, {
      name: 'Forwarded agent', system_prompt: 'You count sheep.', ai_model: 'vendor/model-x', temperature: 0, max_tokens: 7
    })
    t.match(sent, { model: 'vendor/model-x', temperature: 0, max_tokens: 7, stream: true })
    t.same(sent.messages, [{ role: 'system', content: 'You count sheep.' }, { role: 'user', content: 'Hi' }])
    t.match(await callFor(service, { temperature: 2 }), { temperature: 2 })
  })

  t.test('takes null for "not set"', async t => {
    const sent = await callFor(service, { name: null, system_prompt: null, ai_model: null, temperature: null, max_tokens: null, knowledge_base: null })
    t.match(sent, { model: 'google/gemini-2.5-flash', temperature: 0.7, max_tokens: 1000 })
    t.match(sent.messages[0], { role: 'system', content: /./ })
    t.notMatch(sent.messages[0].content, /null|undefined/)
  })

  t.test('puts the knowledge base into the system prompt, be its entries texts or objects', async t => {
    const knowledge = ['Sheep have four legs.', { content: 'Wool is warm.' }, { title: 'Colours', content: 'Most are white.' }]
    const { messages: [system] } = await callFor(service, { system_prompt: 'You count sheep.', knowledge_base: knowledge })
    t.match(system.content, /^You count sheep\./)
    for (const text of ['Sheep have four legs.', 'Wool is warm.', 'Colours', 'Most are white.']) t.ok(system.content.includes(text), text)
    t.notMatch(system.content, /\[object|"content"/)
    const { messages: [alone] } = await callFor(service, { knowledge_base: 'One text alone.' })
    t.ok(alone.content.includes('One text alone.'))
    const { messages: [none] } = await callFor(service, { system_prompt: 'You count sheep.', knowledge_base: [] })
    t.equal(none.content, 'You count sheep.', 'an empty one leaves no trace')
  })

  t.test('sends of a message only what is known', async t => {
    const { messages } = await callFor(service, {}, { messages: [{ role: 'user', content: 'Hi', temperature: 0 }] })
    t.strictSame(messages.slice(1), [{ role: 'user', content: 'Hi' }])
  })

  t.test('tells the model what functions found, and nothing of those that failed', async t => {
    const { messages: [system] } = await callFor(service, { system_prompt: 'You count sheep.' }, {
      functionResults: [
        { functionName: 'weather', functionType: 'api_call', success: true, data: { degrees: 21 } },
        { functionName: 'greeting', functionType: 'conditional', success: true, data: 'Good day' },
        { functionName: 'stock', functionType: 'api_call', success: false, data: 'half an answer', error: 'timeout' },
        { functionName: 'nothing', functionType: 'webhook', success: true, error: null }
      ]
    })
    t.match(system.content, /^You count sheep\./)
    for (const text of ['weather', '{"degrees":21}', 'greeting', 'Good day', 'nothing']) t.ok(system.content.includes(text), text)
    t.notMatch(system.content, /stock|half an answer|timeout/)
  })

  t.test('says what is wrong with a request, and where', async t => {
    const before = gateway.calls.length
    const wrong: Array<[object, string]> = [
      [{ agentConfig: { temperature: 2.1 } }, 'agentConfig.temperature'],
      [{ agentConfig: { temperature: -0.1 } }, 'agentConfig.temperature'],
      [{ agentConfig: { temperature: '0.5' } }, 'agentConfig.temperature'],
      [{ agentConfig: { max_tokens: 0 } }, 'agentConfig.max_tokens'],
      [{ agentConfig: { max_tokens: 1.5 } }, 'agentConfig.max_tokens'],
      [{ agentConfig: undefined }, 'agentConfig'],
      [{ userId: 'me' }, 'userId'],
      [{ agentId: 7 }, 'agentId'],
      [{ messages: [] }, 'messages'],
      [{ messages: [{ role: 'root', content: 'Hi' }] }, 'messages.0.role'],
      [{ messages: [{ role: 'tool', content: 'Hi' }] }, 'messages.0.tool_call_id'],
      [{ functionResults: [{ functionName: 'weather' }] }, 'functionResults.0.functionType']
    ]
    for (const [fields, path] of wrong) {
      const { status, body } = await ask(service, fields)
      t.equal(status, 400, path)
      t.match(body, { code: 'bad_request', statusCode: 400, error: String, requestId: String })
      t.ok(body.details.some((detail: { path: string, message: string }) => detail.path === path && detail.message), `${path} is named`)
    }
    t.equal(gateway.calls.length, before)
  })

  t.test('takes any text there is: NUL characters, halves of surrogate pairs, and names that objects have of their own', async t => {
    const odd = 'a\0b\ud800c\udc00d'
    gateway.reply = say('It is \0 odd \ud83d')
    const { status, body } = await ask(service, {
      agentConfig: { name: odd, system_prompt: odd, ai_model: odd, knowledge_base: [odd, { content: odd }, { [odd]: odd, constructor: odd, toString: null }] },
      messages: [{ role: 'user', content: odd }, { role: 'user', content: [{ type: 'text', text: odd }] }],
      functionResults: [{ functionName: odd, functionType: odd, success: true, data: { [odd]: [odd] } }]
    }, { 'idempotency-key': 'odd texts' })
    t.equal(status, 200)
    t.equal(body.response, 'It is \ufffd odd \ufffd')
    t.match(await endOf(service, body.runId), { status: 'succeeded', response: body.response }, 'and keeps it')
    t.ok(body.response.isWellFormed())
  })

  t.test('joins an idempotency key\'s run, with nothing to pay for it either', async t => {
    const before = gateway.calls.length
    const answers = await Promise.all([1, 2, 3].map(() => ask(service, {}, { 'idempotency-key': 'forwarded once' })))
    t.equal(new Set(answers.map(({ body }) => body.runId)).size, 1)
    t.equal(gateway.calls.length, before + 1)
    const other = await ask(service, { agentConfig: { temperature: 1 } }, { 'idempotency-key': 'forwarded once' })
    t.match(other, { status: 422, body: { code: 'idempotency_key_reused' } })
  })

  t.test('takes on the run that x-run-id names, and settles its credit', async t => {
    const begin = async (userId = DEMO_USER) => {
      const { run } = await service.app.database.call('begin_run', {
        p_user_id: userId,
        p_agent_id: DEMO_AGENT,
        p_request_hash: 'hash',
        p_input: { messages: [{ role: 'user', content: 'Hi' }] },
        p_owner: null,
        p_lease_seconds: 15,
        p_agent: null,
        p_waiting: true
      })
      return run.runId
    }
    const before = await service.credits()
    const calls = gateway.calls.length
    const runId = await begin()
    t.match(await service.credits(), { creditsRemaining: before.creditsRemaining - 1, creditsReserved: 1 })
    const answers = await Promise.all([1, 2, 3].map(() => ask(service, {}, { 'x-run-id': runId })))
    for (const { status, body, headers } of answers) {
      t.equal(status, 200)
      t.match(body, { runId, response: 'Hello world', creditsUsed: 1 }, 'adopted by one request, joined by the others')
      t.equal(headers.get('x-run-id'), runId)
    }
    t.equal(gateway.calls.length, calls + 1)
    t.match(gateway.calls.at(-1)!.body.messages[0].content, /demo agent/, 'the agent as it was stored with the run')
    t.match(await ask(service, {}, { 'x-run-id': runId }), { status: 200, body: { response: 'Hello world' } }, 'told again once it has ended')
    t.match(await service.credits(), { creditsRemaining: before.creditsRemaining - 1, creditsReserved: 0 })

    gateway.reply = refuse(402)
    t.match(await ask(service, {}, { 'x-run-id': await begin() }), { status: 503, body: { code: 'gateway_payment_required' } })
    t.match(await service.credits(), { creditsRemaining: before.creditsRemaining - 1, creditsReserved: 0 }, 'given back')

    t.match(await ask(service, {}, { 'x-run-id': UNKNOWN }), { status: 404, body: { code: 'run_not_found' } })
    t.match(await ask(service, { userId: OTHER_USER }, { 'x-run-id': runId }), { status: 404, body: { code: 'run_not_found' } })
    t.match(await ask(service, {}, { 'x-run-id': 'mine' }), { status: 400, body: { details: [{ path: 'x-run-id' }] } })
  })

  t.test('does not stumble over values nested deeper than any that was meant', async t => {
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
    const { status, body } = await request('POST', '/api/agent/execute-validated', {
      body: JSON.stringify(bodyOf({ agentConfig: { knowledge_base: 'DEEP' } })).replace('"DEEP"', deep), headers: SECRET
    })
    t.ok(status === 200 || status === 400, `answered ${status} ${JSON.stringify(body)}`)
  })
})
