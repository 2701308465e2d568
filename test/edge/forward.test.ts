import t from 'tap'
import { answerWith, loseAnswer, passTo, startBackendDouble } from '../support/doubles/backend.js'
import { delta, ending, hang, openStream, refuse, say } from '../support/doubles/gateway.js'
import { findDeno, HEAVY, readUntil, startBackend, startEdge, startProject } from '../support/edge.js'
import { BACKEND_SECRET, bearer, DEMO_AGENT, DEMO_KEY, DEMO_USER, OTHER_USER, PYTHON_AGENT, readStream, textOf, typesOf } from '../support/helper.js'

const MESSAGES = [{ role: 'user', content: 'Hi' }]
const WHOLE = { ...HEAVY, messages: MESSAGES, stream: false }

t.test('an agent that is heavy runs at the backend', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const project = await startProject(t)
  const service = await startBackend(t, project, { PYTHON_BIN: '/nonexistent/python' })
  const { gateway } = service
  const wire = await startBackendDouble(t, passTo(service.url))
  const edge = await startEdge(t, deno, project, { RAILWAY_BACKEND_URL: `${wire.url}/` })
  t.beforeEach(() => {
    gateway.reply = say('Hello', ' world')
    wire.handler = passTo(service.url)
    wire.visits = []
  })
  /** What the account of the demo user went through meanwhile. */
  const watchBalance = async () => {
    const before = await project.balance()
    return async () => {
      const now = await project.balance()
      return { spent: before.remaining - now.remaining, reserved: now.reserved, entries: now.entries - before.entries }
    }
  }
  const ONCE = { spent: 1, reserved: 0, entries: 1 }
  const NOTHING = { spent: 0, reserved: 0, entries: 0 }

  t.test('with the secret and the body of the contract, and its stream comes through to the character', async t => {
    const spent = await watchBalance()
    await project.query('update public.agents set knowledge_base = $1, temperature = 0.3, max_tokens = 77, ai_model = $2 where id = $3',
      [JSON.stringify(['One.', { content: 'Two.' }]), 'vendor/model-x', DEMO_AGENT])
    const told = await edge.execute(HEAVY)
    t.equal(told.text, 'Hello world')
    const runId = told.headers.get('x-run-id')!
    t.match(wire.visits, [{
      method: 'POST', path: '/api/agent/execute-validated', headers: { 'x-railway-secret': BACKEND_SECRET, 'x-run-id': runId }
    }])
    t.strictSame(wire.visits[0]!.body, {
      userId: DEMO_USER,
      agentId: DEMO_AGENT,
      agentConfig: {
        name: 'Demo agent',
        system_prompt: 'You are the demo agent of the jeesi platform. Answer briefly and kindly.',
        ai_model: 'vendor/model-x',
        temperature: 0.3,
        max_tokens: 77,
        knowledge_base: ['One.', { content: 'Two.' }]
      },
      messages: MESSAGES,
      stream: true
    })
    t.notOk('authorization' in wire.visits[0]!.headers || 'x-api-key' in wire.visits[0]!.headers)
    const own = await readStream(await fetch(`${service.url}/api/runs/${runId}/events`, { headers: await bearer() }))
    t.equal(told.raw, own.raw)
    t.match(told.events.at(-1), { type: 'done', creditsUsed: 1 })
    t.match(gateway.calls.at(-1)!.body, { model: 'vendor/model-x', temperature: 0.3, max_tokens: 77 })
    t.match(gateway.calls.at(-1)!.body.messages[0].content, /- One\.\n- Two\./)
    t.same(await spent(), ONCE)
    await project.query('update public.agents set knowledge_base = null, temperature = null, max_tokens = null, ai_model = null where id = $1', [DEMO_AGENT])
  })

  t.test('in one piece, for a session and for an API key', async t => {
    for (const headers of [await bearer(), { 'x-api-key': DEMO_KEY }]) {
      const spent = await watchBalance()
      const { status, body, headers: told } = await edge.request('POST', '', { body: WHOLE, headers })
      t.equal(status, 200)
      t.match(body, { response: 'Hello world', creditsUsed: 1, executionTime: Number, runId: told.get('x-run-id') })
      t.same(await spent(), ONCE)
    }
  })

  t.test('every other user pays for their own', async t => {
    const before = await project.balance(OTHER_USER)
    await edge.execute(HEAVY, await bearer(OTHER_USER))
    t.same(await project.balance(OTHER_USER), { ...before, remaining: before.remaining - 1, charged: before.charged + 1, entries: before.entries + 1 })
  })

  t.test('and one that fails before a word costs nothing', async t => {
    const spent = await watchBalance()
    gateway.reply = refuse(402)
    t.match(await edge.request('POST', '', { body: WHOLE }), { status: 503, body: { code: 'gateway_payment_required', error: String, runId: String } })
    const told = await edge.execute(HEAVY)
    t.match(told.events.at(-1), { type: 'error', code: 'gateway_payment_required' })
    t.same(await spent(), NOTHING)
  })

  t.test('where an agent has an address of its own, there', async t => {
    const own = await startBackendDouble(t, passTo(service.url))
    await project.query('update public.agents set railway_url = $1 where id = $2', [` ${own.url}/ `, DEMO_AGENT])
    t.equal((await edge.execute(HEAVY)).text, 'Hello world')
    t.equal(own.visits.length, 1)
    t.equal(wire.visits.length, 0)
    await project.query('update public.agents set railway_url = $1 where id = $2', ['not an address', DEMO_AGENT])
    t.equal((await edge.execute(HEAVY)).text, 'Hello world')
    t.equal(wire.visits.length, 1, 'what is none does not count')
    await project.query('update public.agents set railway_url = null where id = $1', [DEMO_AGENT])
  })

  t.test('where there is no address, or no secret, it says so and charges nothing', async t => {
    const spent = await watchBalance()
    for (const variables of [{} as Record<string, string>, { RAILWAY_BACKEND_URL: wire.url, RAILWAY_BACKEND_SECRET: '' }]) {
      const bare = await startEdge(t, deno, project, variables)
      const { status, body } = await bare.request('POST', '', { body: WHOLE })
      t.equal(status, 503)
      t.match(body, { error: 'Heavy agent execution not configured', code: 'not_configured', statusCode: 503 })
    }
    t.equal(wire.visits.length, 0)
    t.same(await spent(), NOTHING)
  })

  t.test('a backend that is down costs nothing', async t => {
    const spent = await watchBalance()
    const lost = await startEdge(t, deno, project, { RAILWAY_BACKEND_URL: 'http://127.0.0.1:1' })
    const { status, body } = await lost.request('POST', '', { body: { ...WHOLE, stream: true } })
    t.equal(status, 502)
    t.match(body, { code: 'backend_unavailable', error: String, runId: String })
    t.same(await spent(), NOTHING)
    t.match(await project.endOf(body.runId), { status: 'failed', error: { code: 'backend_unavailable' }, creditsReserved: 0 })
  })

  t.test('a backend that refuses costs nothing, and its reasons are passed on as far as they are the caller\'s affair', async t => {
    const spent = await watchBalance()
    const busy = { error: 'All slots are taken.', code: 'queue_full', statusCode: 503, requestId: 'x' }
    for (const [handler, status, code] of [
      [answerWith(503, busy, { 'retry-after': '5' }), 503, 'queue_full'],
      [answerWith(401, { error: 'Wrong secret.', code: 'unauthorized' }), 502, 'backend_unavailable'],
      [answerWith(404, { error: 'Nothing here.', code: 'not_found' }), 502, 'backend_unavailable'],
      [answerWith(500, { oops: true }), 502, 'backend_unavailable'],
      [answerWith(307, {}, { location: `${service.url}/api/agent/execute-validated` }), 502, 'backend_unavailable']
    ] as const) {
      wire.handler = handler
      for (const stream of [true, false]) {
        const { status: told, body, headers } = await edge.request('POST', '', { body: { ...WHOLE, stream } })
        t.equal(told, status)
        t.match(body, { code, error: String, statusCode: status, runId: String })
        t.equal(headers.get('retry-after'), status === 503 ? '5' : null)
      }
    }
    t.equal(gateway.calls.filter(call => !call.body).length, 0)
    t.same(await spent(), NOTHING)
  })

  t.test('a service that is about to end refuses, and nothing is charged', async t => {
    const spent = await watchBalance()
    const ending = await startBackend(t, project)
    await ending.app.drain()
    wire.handler = passTo(ending.url)
    t.match(await edge.request('POST', '', { body: WHOLE }), { status: 503, body: { code: 'shutting_down' } })
    t.same(await spent(), NOTHING)
  })

  t.test('a service that cannot run Python says so, and nothing is charged', async t => {
    const spent = await watchBalance()
    t.match(await edge.request('POST', '', { body: { ...WHOLE, agentId: PYTHON_AGENT } }), { status: 503, body: { code: 'python_unavailable' } })
    t.equal(wire.visits.length, 1, 'it was asked')
    t.same(await spent(), NOTHING)
  })

  t.test('a connection that breaks before the answer is tried again, and the run is one', async t => {
    const spent = await watchBalance()
    const calls = gateway.calls.length
    wire.handler = (response, visit, number) => (number === 1 ? loseAnswer(service.url) : passTo(service.url))(response, visit, number)
    const told = await edge.execute(HEAVY)
    t.equal(told.text, 'Hello world')
    t.equal(wire.visits.length, 2)
    t.equal(gateway.calls.length, calls + 1)
    t.same(await spent(), ONCE)
  })

  t.test('an answer that is lost for good does not lose the run: the reader is sent to where it goes on', async t => {
    const spent = await watchBalance()
    wire.handler = loseAnswer(service.url)
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => response.end(delta('lo') + ending())
    }
    const told = await edge.execute(HEAVY)
    const runId = told.headers.get('x-run-id')!
    t.equal(told.status, 200)
    t.match(told.events, [{ type: 'reconnect', after: 0, runId, url: `${wire.url}/api/runs/${runId}/events` }])
    finish()
    t.equal((await readStream(await fetch(`${service.url}/api/runs/${runId}/events`, { headers: await bearer() }))).text, 'Hello')
    t.same(await spent(), ONCE)
  })

  t.test('a whole answer that is lost is told from the database', async t => {
    const spent = await watchBalance()
    wire.handler = loseAnswer(service.url)
    t.match(await edge.request('POST', '', { body: WHOLE }), { status: 200, body: { response: 'Hello world', creditsUsed: 1 } })
    t.same(await spent(), ONCE)
  })

  t.test('a stream that breaks in the middle ends with where it goes on, and with no half of a frame', async t => {
    const spent = await watchBalance()
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => response.end(delta('lo') + ending())
    }
    wire.handler = passTo(service.url, (answer, response) => {
      let seen = ''
      answer.on('data', chunk => {
        seen += chunk
        response.write(chunk)
        if (seen.includes('Hel')) response.write('id: 3\ndata: {"type":"chu', () => response.destroy())
      })
    })
    const told = await edge.execute(HEAVY)
    t.same(typesOf(told), ['started', 'chunk', 'reconnect'])
    t.match(told.events.at(-1), { after: 2, runId: told.headers.get('x-run-id') })
    finish()
    const { url, after } = told.events.at(-1) as unknown as { url: string, after: number }
    wire.handler = passTo(service.url)
    const rest = await readStream(await fetch(`${url}?after=${after}`, { headers: await bearer() }))
    t.equal(textOf([...told.events.slice(0, -1), ...rest.events]), 'Hello')
    t.same(await spent(), ONCE)
  })

  t.test('before the wall clock it hands over, and nothing is lost or told twice', async t => {
    const spent = await watchBalance()
    const short = await startEdge(t, deno, project, { RAILWAY_BACKEND_URL: service.url, EDGE_MAX_SECONDS: '4' })
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Grüße '))
      finish = () => response.end(delta('🙂') + ending())
    }
    const startedAt = Date.now()
    const told = await short.execute(HEAVY)
    t.ok(Date.now() - startedAt < 6000)
    const runId = told.headers.get('x-run-id')!
    t.match(told.events.at(-1), { type: 'reconnect', after: 2, runId, url: `${service.url}/api/runs/${runId}/events` })
    t.notOk(/^id:/m.test(told.raw.split('\n\n').at(-2)!), 'a frame without a number')
    t.notOk(told.raw.includes('[DONE]'))
    finish()
    const { url, after } = told.events.at(-1) as unknown as { url: string, after: number }
    const rest = await readStream(await fetch(`${url}?after=${after}`, { headers: await bearer() }))
    const own = await readStream(await fetch(url, { headers: await bearer() }))
    t.equal(told.raw.replace(/data: \{"type":"reconnect".*\n\n/, '') + rest.raw, own.raw)
    t.same(await spent(), ONCE)

    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => response.end(delta('lo') + ending())
    }
    const whole = await short.request('POST', '', { body: WHOLE })
    t.match(whole, { status: 202, body: { status: 'running', attempt: 1, agentId: DEMO_AGENT, url: `${service.url}/api/runs/${whole.body.runId}` } })
    finish()
    t.match(await project.endOf(whole.body.runId), { status: 'succeeded', response: 'Hello', creditsCharged: 1 })
  })

  t.test('a service that ends while it answers sends the reader on, with the address', async t => {
    const dying = await startBackend(t, project)
    dying.gateway.reply = hang('half')
    const there = await startEdge(t, deno, project, { RAILWAY_BACKEND_URL: dying.url })
    const response = await there.open(HEAVY)
    const runId = response.headers.get('x-run-id')!
    const { rest } = await readUntil(response, 'half')
    gateway.reply = say('the whole')
    await dying.app.close()
    const raw = await rest()
    t.equal(raw.split('reconnect').length, 2, 'once')
    t.match(raw.split('\n\n').at(-2), `data: {"type":"reconnect","after":2,"runId":"${runId}","url":"${dying.url}/api/runs/${runId}/events"}`)
    // The other process has been idle, and looks for runs when the next request arrives, such as this reader's.
    await service.request('GET', `/api/runs/${runId}`)
    t.match(await project.endOf(runId), { status: 'succeeded', attempt: 2, response: 'the whole', creditsCharged: 1 })
  })

  t.test('the client may leave: the run is settled all the same', async t => {
    const spent = await watchBalance()
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('half'))
      finish = () => response.end(delta(' and half') + ending())
    }
    const response = await edge.open(HEAVY)
    const { leave } = await readUntil(response, 'half')
    await leave()
    finish()
    t.match(await project.endOf(response.headers.get('x-run-id')!), { status: 'succeeded', response: 'half and half' })
    t.same(await spent(), ONCE)
  })

  t.test('an Idempotency-Key means the same run here and at the service', async t => {
    const spent = await watchBalance()
    const calls = gateway.calls.length
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => response.end(delta('lo') + ending())
    }
    const headers = { ...await bearer(), 'idempotency-key': 'here and there' }
    const first = await readUntil(await edge.open(HEAVY, headers), 'Hel')
    const joined = await readUntil(await edge.open(HEAVY, headers), 'Hel')
    const direct = service.execute({}, headers)
    finish()
    const raw = await first.rest()
    t.equal(await joined.rest(), raw)
    t.equal((await direct).raw, raw)
    t.equal((await edge.execute(HEAVY, headers)).raw, raw, 'replayed')
    const begun = { ...await bearer(), 'idempotency-key': 'there and here' }
    gateway.reply = say('Hello')
    const there = await service.execute({}, begun)
    t.equal((await edge.execute(HEAVY, begun)).raw, there.raw)
    t.match(await edge.request('POST', '', { body: { ...WHOLE, messages: [{ role: 'user', content: 'Other' }] }, headers }),
      { status: 422, body: { code: 'idempotency_key_reused' } })
    t.equal(gateway.calls.length, calls + 2)
    t.same(await spent(), { spent: 2, reserved: 0, entries: 2 })
  })

  t.test('a backend that knows no x-run-id runs its own, and the one that was begun here is settled here', async t => {
    const theirs = '99999999-9999-4999-8999-999999999999'
    const frames = (...events: object[]) => events.map((event, index) => `id: ${index + 1}\ndata: ${JSON.stringify(event)}\n\n`).join('')
    const stream = (raw: string) => {
      wire.handler = response => { response.writeHead(200, { 'content-type': 'text/event-stream', 'x-run-id': theirs }).end(raw) }
    }
    const ended = async () => {
      const [row] = await project.query('select id from public.agent_runs order by created_at desc limit 1', [])
      return project.endOf(row!.id)
    }
    let spent = await watchBalance()
    const raw = frames({ type: 'chunk', content: 'Hel' }, { type: 'chunk', content: 'lo' }, { type: 'done', response: 'Hello' }) + 'data: [DONE]\n\n'
    stream(raw)
    const told = await edge.execute(HEAVY)
    t.equal(told.raw, raw)
    t.equal(told.headers.get('x-run-id'), theirs)
    t.match(await ended(), { response: 'Hello', status: 'succeeded' })
    t.same(await spent(), ONCE)

    spent = await watchBalance()
    stream(frames({ type: 'error', error: 'It failed.', code: 'gateway_unavailable' }) + 'data: [DONE]\n\n')
    await edge.execute(HEAVY)
    t.match(await ended(), { status: 'failed' })
    t.same(await spent(), NOTHING)

    wire.handler = answerWith(200, { response: 'Hello', executionTime: 5 })
    t.match(await edge.request('POST', '', { body: WHOLE }), { status: 200, body: { response: 'Hello', executionTime: 5 } })
    t.same(await spent(), ONCE)
    spent = await watchBalance()
    wire.handler = answerWith(200, { response: '', executionTime: 5 })
    await edge.request('POST', '', { body: WHOLE })
    t.same(await spent(), NOTHING)
  })
})
