import { once } from 'node:events'
import { Agent, request as httpRequest } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { delta, ending, hang, openStream, refuse, say, USAGE } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, DEMO_KEY, endOf, OTHER_USER, parseStream, startService, textOf, typesOf, UNPUBLISHED_AGENT } from '../support/helper.js'

t.test('executing an agent', async t => {
  const service = await startService(t)
  const { gateway, request, execute } = service
  t.beforeEach(() => { gateway.reply = say('Hello', ' world') })

  t.test('streams started, the chunks of the model, and done with the whole text', async t => {
    const told = await execute()
    t.equal(told.status, 200)
    t.match(told.headers.get('content-type'), /^text\/event-stream/)
    t.equal(told.headers.get('cache-control'), 'no-cache, no-transform')
    t.equal(told.headers.get('x-accel-buffering'), 'no')
    t.equal(told.text, 'Hello world')
    const [first, last] = [told.events[0], told.events.at(-1)]
    t.match(first, { type: 'started', agentId: DEMO_AGENT, attempt: 1, runId: told.headers.get('x-run-id') })
    t.match(last, { type: 'done', response: 'Hello world', creditsUsed: 1, finishReason: 'stop', executionTime: Number })
    t.match(last, { usage: { promptTokens: USAGE.prompt_tokens, completionTokens: 5, totalTokens: 15, estimated: false } })
    t.same(told.events.map(({ seq }) => seq), told.events.map((_, index) => index + 1), 'seq counts up by one from 1')
    t.ok(told.raw.endsWith('data: [DONE]\n\n'))
  })

  t.test('a connection takes the next request when its stream has ended', async t => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => agent.destroy())
    const sockets = new Set<Socket>()
    for (let number = 0; number < 3; number++) {
      const asking = httpRequest(`${service.url}/api/agent/execute`, { agent, method: 'POST', headers: { ...await bearer(), 'content-type': 'application/json' } })
      asking.end(JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }))
      const [response] = await once(asking, 'response')
      sockets.add(response.socket)
      t.equal(textOf(parseStream(await text(response))), 'Hello world')
    }
    t.equal(sockets.size, 1)
  })

  t.test('answers in one piece where the caller does not want a stream', async t => {
    const { status, body, headers } = await request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false }
    })
    t.equal(status, 200)
    t.match(body, { response: 'Hello world', executionTime: Number, creditsUsed: 1, finishReason: 'stop', runId: headers.get('x-run-id') })
  })

  t.test('sends the agent\'s prompt, the conversation and the defaults to the gateway, with its key', async t => {
    await execute({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } }] }] })
    const { body, headers } = gateway.calls.at(-1)!
    t.equal(headers.authorization, 'Bearer test-gateway-key')
    t.match(body, { model: 'google/gemini-2.5-flash', temperature: 0.7, max_tokens: 1000, stream: true })
    t.equal(body.messages[0].role, 'system')
    t.match(body.messages[0].content, /demo agent of the jeesi platform/)
    t.same(body.messages[1].content, [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } }])
  })

  t.test('sends of a message only what is known', async t => {
    await execute({ messages: [{ role: 'user', content: 'Hi', name: 'Ann', temperature: 0, x: { y: 1 } }] })
    t.strictSame(gateway.calls.at(-1)!.body.messages.slice(1), [{ role: 'user', content: 'Hi', name: 'Ann' }])
  })

  t.test('takes images from the web and in the message, and from nowhere else', async t => {
    const ask = (url: string) => execute({ stream: false, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }] })
    for (const url of ['https://example.com/a.png', 'HTTP://example.com', 'DATA:image/png;base64,AA']) t.equal((await ask(url)).status, 200, url)
    const before = gateway.calls.length
    for (const url of ['file:///etc/passwd', 'ftp://example.com/a', ' https://example.com', '/a.png', 'gs://bucket/a', 'javascript:1', 'https:/']) {
      const { status, raw } = await ask(url)
      t.equal(status, 400, url)
      t.match(JSON.parse(raw), { code: 'bad_request', error: 'messages.0.content.0.image_url.url must match format "http, https or data URL".' }, url)
    }
    t.equal(gateway.calls.length, before)
  })

  t.test('takes an API key', async t => {
    t.equal((await execute({}, { 'x-api-key': DEMO_KEY })).text, 'Hello world')
  })

  t.test('is refused without a token, and no model is asked', async t => {
    const before = gateway.calls.length
    const { status, body } = await request('POST', '/api/agent/execute', { body: {}, headers: { anonymous: '' } })
    t.equal(status, 401)
    t.match(body, { code: 'unauthorized', statusCode: 401, error: String, requestId: String })
    t.equal(gateway.calls.length, before)
  })

  t.test('knows published agents and the caller\'s own, and no others', async t => {
    t.equal((await execute({ agentId: UNPUBLISHED_AGENT })).text, 'Hello world', 'one\'s own')
    const others = await execute({ agentId: UNPUBLISHED_AGENT }, await bearer(OTHER_USER))
    t.equal(others.status, 404)
    t.match(JSON.parse(others.raw), { code: 'agent_not_found' })
  })

  t.test('a client that leaves does not stop its run', async t => {
    gateway.reply = hang('Hel')
    const call = gateway.nextCall()
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => { response.end(delta('lo') + ending()) }
    }
    const leaving = new AbortController()
    const response = await fetch(`${service.url}/api/agent/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...await bearer() },
      body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }),
      signal: leaving.signal
    })
    await call
    leaving.abort()
    finish()
    const run = await endOf(service, response.headers.get('x-run-id')!)
    t.match(run, { status: 'succeeded', response: 'Hello', creditsCharged: 1 })
  })

  t.test('a gateway that refuses before the first word ends the run with an error, and nothing is charged', async t => {
    const before = await service.credits()
    gateway.reply = refuse(402)
    const streamed = await execute()
    t.same(typesOf(streamed), ['started', 'error'])
    t.match(streamed.events.at(-1), { code: 'gateway_payment_required', error: String, retryable: false })
    t.ok(streamed.raw.endsWith('data: [DONE]\n\n'))
    const whole = await request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false }
    })
    t.equal(whole.status, 503)
    t.match(whole.body, { code: 'gateway_payment_required', runId: String })
    t.same(await service.credits(), before)
  })
})

t.test('a client of HTTP/1.0, which knows no chunks, gets the frames as they are', async t => {
  const { url } = await startService(t)
  const { hostname, port } = new URL(url)
  const body = JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] })
  const socket = connect(Number(port), hostname)
  socket.write(['POST /api/agent/execute HTTP/1.0', `x-api-key: ${DEMO_KEY}`, 'content-type: application/json', `content-length: ${body.length}`, '', body].join('\r\n'))
  const [, raw] = (await text(socket)).split('\r\n\r\n')
  const events = parseStream(raw!)
  t.equal(raw, `${events.map(({ seq, ...event }) => `id: ${seq}\ndata: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`)
  t.equal(textOf(events), 'Hello world')
})
