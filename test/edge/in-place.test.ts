import t from 'tap'
import { delta, ending, frame, hang, inTurn, openStream, refuse, say } from '../support/doubles/gateway.js'
import { findDeno, readUntil, SIMPLE_AGENT, startEdge, startWorld } from '../support/edge.js'
import { bearer, DEMO_KEY, OTHER_USER, parseStream, readStream, typesOf } from '../support/helper.js'

/** A stream of the edge function as the service writes it: without the part for readers of OpenAI's deltas. */
function withoutDeltas (raw: string): string {
  return raw.replace(/,"choices":\[.*\]\}(?=\n)/g, '}')
}

t.test('an agent that is not heavy runs in the edge function', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const world = await startWorld(t, deno)
  const { project, edge, gateway, service } = world
  t.beforeEach(() => { gateway.reply = say('Hello', ' world') })

  t.test('and streams as the service does, charged once', async t => {
    const before = await project.balance()
    const told = await edge.execute()
    t.equal(told.status, 200)
    t.match(told.headers.get('content-type'), /^text\/event-stream/)
    t.equal(told.headers.get('cache-control'), 'no-cache, no-transform')
    t.equal(told.text, 'Hello world')
    t.same(told.events.map(({ seq }) => seq), told.events.map((_, index) => index + 1))
    t.match(told.events[0], { type: 'started', agentId: SIMPLE_AGENT, attempt: 1, runId: told.headers.get('x-run-id') })
    t.match(told.events.at(-1), {
      type: 'done', response: 'Hello world', creditsUsed: 1, finishReason: 'stop', usage: { totalTokens: 15, estimated: false }
    })
    t.ok(told.raw.endsWith('data: [DONE]\n\n'))
    t.same(await project.balance(), {
      remaining: before.remaining - 1, reserved: 0, charged: before.charged + 1, entries: before.entries + 1
    })
    t.match(gateway.calls.at(-1), {
      headers: { authorization: 'Bearer test-gateway-key' },
      body: { model: 'google/gemini-2.5-flash', stream: true, stream_options: { include_usage: true }, temperature: 0.7, max_tokens: 1000 }
    })
    t.equal(service.gateway.calls.length, 0)
  })

  t.test('and sends of a message only what is known', async t => {
    await edge.execute({ messages: [{ role: 'user', content: 'Hi', temperature: 0 }] })
    t.strictSame(gateway.calls.at(-1)!.body.messages.slice(1), [{ role: 'user', content: 'Hi' }])
  })

  t.test('and loses no character of those that end a line elsewhere', async t => {
    gateway.reply = say('a\u2028b', '\u2029c\u0085d')
    const told = await edge.execute()
    t.equal(told.text, 'a\u2028b\u2029c\u0085d')
    t.match(told.events.at(-1), { type: 'done', response: 'a\u2028b\u2029c\u0085d' })
  })

  t.test('by an API key, which wins over a session\'s token, and in one piece', async t => {
    const { status, body, headers } = await edge.request('POST', '', {
      body: { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false },
      headers: { 'x-api-key': DEMO_KEY, ...await bearer(OTHER_USER) }
    })
    t.equal(status, 200)
    t.match(body, { response: 'Hello world', executionTime: Number, creditsUsed: 1, finishReason: 'stop', runId: headers.get('x-run-id') })
  })

  t.test('and the service tells its events again to the letter, but for its reasoning, which is not kept', async t => {
    gateway.reply = response => {
      openStream(response).write(frame({ choices: [{ index: 0, delta: { reasoning: 'Hm.' } }] }) + delta('Grüße \ud83d'))
      setImmediate(() => { response.end(delta('\ude42 an\0') + ending()) })
    }
    const told = await edge.execute()
    t.equal(told.text, 'Grüße 🙂 an\ufffd')
    const again = await fetch(`${service.url}/api/runs/${told.headers.get('x-run-id')}/events`, { headers: await bearer() })
    t.match(told.raw, '"content":"Hm."')
    t.equal((await readStream(again)).raw, withoutDeltas(told.raw).replace('"content":"Hm."', '"content":""'))
  })

  t.test('a gateway that fails before the first word is asked once more', async t => {
    const before = gateway.calls.length
    gateway.reply = (response, call, number) => inTurn(refuse(503), say('Hello'))(response, call, number - before)
    const told = await edge.execute()
    t.same(typesOf(told), ['started', 'retry', 'chunk', 'done'])
    gateway.reply = response => { response.destroy() }
    t.same(typesOf(await edge.execute()), ['started', 'retry', 'error'])
  })

  t.test('a gateway that refuses costs nothing, and is told as the service tells it', async t => {
    const before = await project.balance()
    for (const [status, code, ours] of [
      [429, 'gateway_rate_limited', 429], [402, 'gateway_payment_required', 503], [401, 'gateway_unauthorized', 502],
      [400, 'gateway_rejected', 422], [500, 'gateway_unavailable', 502]
    ] as const) {
      gateway.reply = refuse(status, 'no', { 'retry-after': '30' })
      const whole = await edge.request('POST', '', { body: { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false } })
      t.match(whole, { status: ours, body: { code, error: String, statusCode: ours, runId: String } })
      const told = await edge.execute()
      t.match(told.events.at(-1), { type: 'error', code, error: whole.body.error, runId: told.headers.get('x-run-id') })
    }
    t.same(await project.balance(), before)
  })

  t.test('a gateway that breaks off after some words is an error, and the words are charged', async t => {
    const before = await project.balance()
    gateway.reply = response => {
      openStream(response).write(delta('half'))
      setTimeout(() => response.destroy(), 50)
    }
    const told = await edge.execute()
    t.same(typesOf(told), ['started', 'chunk', 'error'])
    t.match(told.events.at(-1), { code: 'gateway_unavailable', retryable: true })
    const run = await project.endOf(told.headers.get('x-run-id')!)
    t.match(run, { status: 'failed', response: 'half', creditsCharged: 1, usage: { estimated: true, completionTokens: 1 } })
    t.equal((await project.balance()).entries, before.entries + 1)
  })

  t.test('a model that refuses a parameter by name is asked without it', async t => {
    const before = gateway.calls.length
    gateway.reply = (response, call, number) =>
      inTurn(refuse(400, 'Unsupported parameter: max_tokens'), say('Hello'))(response, call, number - before)
    t.equal((await edge.execute()).text, 'Hello')
    t.match(gateway.calls.at(-1)!.body, { max_tokens: undefined, max_completion_tokens: 1000 })
  })

  t.test('usage that the gateway does not tell is estimated', async t => {
    gateway.reply = response => { openStream(response).end(delta('12345678') + 'data: [DONE]\n\n') }
    t.match((await edge.execute()).events.at(-1), { type: 'done', usage: { completionTokens: 2, estimated: true } })
  })

  t.test('the client may leave: the run is settled all the same', async t => {
    const before = await project.balance()
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('half'))
      finish = () => response.end(delta(' and half') + ending())
    }
    const response = await edge.open()
    const { leave } = await readUntil(response, 'half')
    const left = edge.nextLog(response.headers.get('x-run-id')!)
    await leave()
    t.match(JSON.parse(await left), { status: 200, where: 'edge' })
    finish()
    t.match(await project.endOf(response.headers.get('x-run-id')!), { status: 'succeeded', response: 'half and half', creditsCharged: 1 })
    t.match(await project.balance(), { reserved: 0, entries: before.entries + 1 })
  })

  t.test('a database that goes away at the end is waited for: the end is told when it is written', async t => {
    const before = await project.balance()
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('half'))
      finish = () => response.end(delta(' and half') + ending())
    }
    const { rest } = await readUntil(await edge.open(), 'half')
    project.isAway = true
    const failing = project.nextFailure()
    finish()
    await failing
    project.isAway = false
    const raw = await rest()
    t.match(parseStream(raw).at(-1), { type: 'done', response: 'half and half', creditsUsed: 1 })
    t.match(await project.balance(), { reserved: 0, entries: before.entries + 1 })
  })

  t.test('a repeated Idempotency-Key runs and charges once, live, replayed, and across isolates', async t => {
    const before = await project.balance()
    const calls = gateway.calls.length
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => response.end(delta('lo') + ending())
    }
    const headers = { ...await bearer(), 'idempotency-key': 'on the edge' }
    const first = await readUntil(await edge.open({}, headers), 'Hel')
    const live = await readUntil(await edge.open({}, headers), 'Hel')
    const other = await startEdge(t, deno, project, { AI_GATEWAY_URL: gateway.url })
    const waiting = Promise.all([other.execute({}, headers), other.request('POST', '', {
      body: { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false }, headers
    })])
    finish()
    const raw = await first.rest()
    t.equal(await live.rest(), raw)
    const [streamed, whole] = await waiting
    t.equal(streamed.raw, raw)
    t.match(whole, { status: 200, body: { response: 'Hello', creditsUsed: 1 } })
    t.equal((await edge.execute({}, headers)).raw, raw, 'replayed')
    t.equal((await service.execute({ agentId: SIMPLE_AGENT }, headers)).raw, withoutDeltas(raw), 'by the service too')
    t.match(await edge.request('POST', '', { body: { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Other' }] }, headers }),
      { status: 422, body: { code: 'idempotency_key_reused' } })
    t.equal(gateway.calls.length, calls + 1)
    t.equal((await project.balance()).entries, before.entries + 1)
  })

  t.test('logs a line a request, without keys or what was said', async t => {
    gateway.reply = say('an answer in confidence')
    const headers = await bearer()
    const logged = edge.nextLog('"where":"edge"')
    const told = await edge.execute({ messages: [{ role: 'user', content: 'a question in confidence' }] }, headers)
    const line = JSON.parse(await logged)
    t.match(line, { level: 'info', message: /^\[AGENT-RUNTIME\] POST 200/, agentId: SIMPLE_AGENT, userId: String, runId: told.headers.get('x-run-id'), ms: Number })
    const all = edge.logs.join('\n')
    for (const secret of ['in confidence', headers.authorization!.slice(7), 'service-role-key', 'a-backend-secret', 'test-gateway-key', DEMO_KEY]) {
      t.notOk(all.includes(secret), secret.slice(0, 12))
    }
  })

  t.test('a silent gateway does not keep it beyond EDGE_MAX_SECONDS: the service goes on', async t => {
    const before = await project.balance()
    const short = await startEdge(t, deno, project, { AI_GATEWAY_URL: gateway.url, RAILWAY_BACKEND_URL: service.url, EDGE_MAX_SECONDS: '3' })
    gateway.reply = hang('half')
    service.gateway.reply = say('the whole')
    const told = await short.execute()
    const runId = told.headers.get('x-run-id')!
    t.match(told.events.at(-1), { type: 'reconnect', after: 2, runId, url: `${service.url}/api/runs/${runId}/events` })
    t.notOk(told.raw.includes('[DONE]'))
    const { url, after } = told.events.at(-1) as unknown as { url: string, after: number }
    const rest = await readStream(await fetch(`${url}?after=${after}`, { headers: await bearer() }))
    t.match(rest.events[0], { type: 'started', attempt: 2 })
    t.equal(rest.text, 'the whole')
    t.match(await project.endOf(runId), { status: 'succeeded', attempt: 2, creditsCharged: 1 })
    t.match(await project.balance(), { reserved: 0, entries: before.entries + 1 })

    const whole = await short.request('POST', '', { body: { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false } })
    t.match(whole, { status: 202, body: { runId: String, status: 'running', creditsReserved: 1, url: `${service.url}/api/runs/${whole.body.runId}` } })
    await project.endOf(whole.body.runId)
  })

  t.test('a run may take MAX_RUN_SECONDS, and is not handed over after that', async t => {
    const short = await startEdge(t, deno, project, { AI_GATEWAY_URL: gateway.url, RAILWAY_BACKEND_URL: service.url, MAX_RUN_SECONDS: '3' })
    gateway.reply = hang('half')
    const told = await short.execute()
    t.match(told.events.at(-1), { type: 'error', code: 'run_timeout', error: 'The run was ended because it took longer than 3 seconds.' })
    t.match(await project.endOf(told.headers.get('x-run-id')!), { status: 'failed', attempt: 1, response: 'half', creditsCharged: 1 })
  })

  t.test('nor where there is no service: what there is is settled', async t => {
    const alone = await startEdge(t, deno, project, { AI_GATEWAY_URL: gateway.url, EDGE_MAX_SECONDS: '3' })
    gateway.reply = hang('half')
    const told = await alone.execute()
    t.match(told.events.at(-1), { type: 'error', code: 'gateway_timeout' })
    t.ok(told.raw.endsWith('data: [DONE]\n\n'))
    t.match(await project.endOf(told.headers.get('x-run-id')!), { status: 'failed', response: 'half', creditsCharged: 1 })
    gateway.reply = hang()
    const silent = await alone.request('POST', '', { body: { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false } })
    t.match(silent, { status: 504, body: { code: 'gateway_timeout' } })
    t.match(await project.endOf(silent.body.runId), { status: 'failed', creditsCharged: 0 })
  })

  t.test('Deno is killed in the middle of an answer: the service takes the run over, and it is charged once', async t => {
    const before = await project.balance()
    const doomed = await startEdge(t, deno, project, { AI_GATEWAY_URL: gateway.url, RAILWAY_BACKEND_URL: service.url })
    gateway.reply = hang('half')
    service.gateway.reply = say('the whole')
    const response = await doomed.open()
    const runId = response.headers.get('x-run-id')!
    const { rest } = await readUntil(response, 'half')
    doomed.process.kill('SIGKILL')
    await t.rejects(rest())
    // As if the fifteen seconds of its lease had passed.
    await project.query('update public.agent_runs set lease_until = now() - interval \'1 second\' where id = $1', [runId])
    const resumed = await readStream(await fetch(`${service.url}/api/runs/${runId}/events?after=2`, { headers: await bearer() }))
    t.match(resumed.events.slice(0, 2), [{ type: 'started', attempt: 2 }, { type: 'rewind', to: 0 }])
    t.equal(resumed.text, 'the whole')
    t.match(await project.endOf(runId), { status: 'succeeded', attempt: 2, response: 'the whole', creditsCharged: 1 })
    t.match(await project.balance(), { reserved: 0, entries: before.entries + 1 })
  })
})
