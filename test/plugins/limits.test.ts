import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { clientAddress } from '../../src/http/client-address.js'
import { delta, ending, type GatewayDouble, openStream, say } from '../support/doubles/gateway.js'
import {
  ALL_EVENTS, type Answer, BACKEND_SECRET, bearer, createPostgres, DEMO_AGENT, DEMO_KEY, endOf, findPostgres, OTHER_USER, readStream, type Service, startEmbedded,
  startService, typesOf
} from '../support/helper.js'

const BODY = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }

/** Begins a streamed run; it is there when this resolves. */
async function begin ({ url }: Service, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/api/agent/execute`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...ALL_EVENTS, ...await bearer(), ...headers }, body: JSON.stringify(BODY)
  })
}

/** From now on the model says a first word, and the rest when the returned function is called. */
function holdModel (gateway: GatewayDouble): () => void {
  const held: Array<() => void> = []
  gateway.reply = response => {
    openStream(response).write(delta('Hel'))
    held.push(() => response.end(delta('lo') + ending()))
  }
  return () => { for (const finish of held.splice(0)) finish() }
}

function isRateLimited (t: Test, { status, headers, body }: Answer): void {
  t.equal(status, 429)
  t.match(body, { code: 'rate_limited', statusCode: 429, error: String, requestId: String })
  const seconds = Number(headers.get('retry-after'))
  t.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= 60, `retry-after: ${seconds}`)
}

t.test('requests are limited by caller', async t => {
  const { url, request } = await startService(t, { RATE_LIMIT_MAX: '3' })
  const get = (headers?: Record<string, string>) => request('GET', '/api/credits', { headers })
  for (let i = 0; i < 3; i++) t.equal((await get()).status, 200)
  isRateLimited(t, await get())
  const getByKey = () => request('GET', `/api/runs/${DEMO_AGENT}`, { headers: { 'x-api-key': DEMO_KEY } })
  for (let i = 0; i < 3; i++) t.equal((await getByKey()).status, 404, 'a key, which many may read, is counted apart from its owner')
  isRateLimited(t, await getByKey())
  t.equal((await get(await bearer(OTHER_USER))).status, 200, 'another caller from the same address goes on')
  for (let i = 0; i < 10; i++) t.equal((await request('GET', '/health', { headers: { anonymous: '' } })).status, 200, 'probes are not counted')

  const socket = new WebSocket(`${url}/ws`)
  t.teardown(() => socket.terminate())
  await once(socket, 'open')
  const next = async () => JSON.parse(String((await once(socket, 'message'))[0]))
  const pings = []
  for (let i = 0; i < 5; i++) {
    socket.send('{"type":"ping"}')
    pings.push(await next())
  }
  t.match(pings.at(-1), { type: 'error', code: 'rate_limited', error: String }, 'messages of a WebSocket count as well')
  t.equal(socket.readyState, WebSocket.OPEN)
})

t.test('refused tokens and keys are limited by address, and nobody else with them', async t => {
  const { request } = await startService(t, { RATE_LIMIT_MAX: '3' })
  const credits = (headers: Record<string, string>) => request('GET', '/api/credits', { headers })
  const validated = (headers: Record<string, string>) => request('POST', '/api/agent/execute-validated', { body: {}, headers })
  t.equal((await credits({ authorization: 'Bearer guess' })).status, 401)
  t.equal((await credits({ 'x-api-key': 'jeesi_guess' })).status, 401)
  t.equal((await validated({ 'x-railway-secret': 'guess' })).status, 401)
  isRateLimited(t, await credits({ authorization: 'Bearer guess' }))
  isRateLimited(t, await credits({ 'x-api-key': 'jeesi_guess' }))
  isRateLimited(t, await validated({ 'x-railway-secret': 'guess' }))
  t.equal((await credits(await bearer())).status, 200, 'a good token from there still counts')
  t.equal((await request('GET', `/api/runs/${DEMO_AGENT}`, { headers: { 'x-api-key': DEMO_KEY } })).status, 404, 'and a good key')
  isRateLimited(t, await credits({ 'x-api-key': DEMO_KEY }))
  t.equal((await validated({ 'x-railway-secret': BACKEND_SECRET })).status, 400, 'and the edge function\'s secret')
})

t.test('a body larger than the limit is refused', async t => {
  const service = await startService(t, { BODY_LIMIT: '2000' })
  const { request } = service
  const body = { ...BODY, messages: [{ role: 'user', content: 'x'.repeat(2000) }] }
  const { status, body: answer } = await request('POST', '/api/agent/execute', { body })
  t.equal(status, 413)
  t.match(answer, { code: 'body_too_large', statusCode: 413, error: /2000/, requestId: String })
  t.equal((await request('POST', '/api/agent/execute', { body: { ...BODY, stream: false } })).status, 200, 'a smaller one is not')
  t.equal(service.gateway.calls.length, 1)
})

t.test('a run without a slot waits for it and tells its place', async t => {
  const service = await startService(t, { MAX_CONCURRENT_RUNS: '1' })
  const { gateway, request } = service
  t.beforeEach(() => { gateway.reply = say('Hello') })
  /** Takes the only slot; the run ends when the returned function is called. */
  const occupy = async () => {
    const [finish, call] = [holdModel(gateway), gateway.nextCall()]
    const response = await begin(service)
    await call
    gateway.reply = say('Hello')
    return async () => {
      finish()
      t.equal((await readStream(response)).text, 'Hello')
    }
  }
  const look = async (response: Response) => (await request('GET', `/api/runs/${response.headers.get('x-run-id')}`)).body

  t.test('and then runs as any other', async t => {
    const release = await occupy()
    const response = await begin(service)
    t.match(await look(response), { status: 'queued', startedAt: null, response: '', creditsReserved: 1 })
    await release()
    const told = await readStream(response)
    t.same(typesOf(told), ['queued', 'started', 'chunk', 'done'])
    t.match(told.events[0], { position: 1, runId: response.headers.get('x-run-id') })
    t.match(await look(response), { status: 'succeeded', startedAt: String, creditsReserved: 0, creditsCharged: 1 })
  })

  t.test('behind those of other users that came before it', async t => {
    const release = await occupy()
    const others = await begin(service, await bearer(OTHER_USER))
    const own = await begin(service)
    await release()
    const [first, second] = [await readStream(others), await readStream(own)]
    t.match(first.events[0], { type: 'queued', position: 1 })
    t.match(second.events[0], { type: 'queued', position: 2 })
    t.same(typesOf(second), ['queued', 'queued', 'started', 'chunk', 'done'], 'and is told when it moves up')
  })
})

t.test('a run that finds the queue full is refused, and leaves nothing behind', async t => {
  const service = await startService(t, { MAX_CONCURRENT_RUNS: '1', MAX_QUEUED_RUNS: '0' })
  const finish = holdModel(service.gateway)
  const first = await begin(service)
  const { status, headers, body } = await service.request('POST', '/api/agent/execute', { body: BODY, headers: { ...await bearer(OTHER_USER), 'idempotency-key': 'k' } })
  t.equal(status, 503)
  t.match(body, { code: 'queue_full', statusCode: 503, error: String, requestId: String })
  t.ok(Number(headers.get('retry-after')) >= 1)
  t.match(await service.credits(OTHER_USER), { creditsRemaining: 3, creditsReserved: 0 })
  t.same((await service.request('GET', '/api/runs', { headers: await bearer(OTHER_USER) })).body.runs, [])
  if (service.gateway.calls.length === 0) await service.gateway.nextCall()
  service.gateway.reply = say('Hello')
  finish()
  t.equal((await readStream(first)).text, 'Hello')
  t.equal((await service.execute({}, { ...await bearer(OTHER_USER), 'idempotency-key': 'k' })).text, 'Hello', 'there is room again')
})

t.test('one user\'s runs wait for each other, and not others\' for them', async t => {
  const service = await startService(t, { MAX_RUNS_PER_USER: '1' })
  const finish = holdModel(service.gateway)
  const call = service.gateway.nextCall()
  const first = await begin(service)
  await call
  const second = await begin(service)
  service.gateway.reply = say('Hello')
  t.same(typesOf(await service.execute({}, await bearer(OTHER_USER))), ['started', 'chunk', 'done'])
  t.match((await service.request('GET', `/api/runs/${second.headers.get('x-run-id')}`)).body, { status: 'queued' })
  finish()
  t.same(typesOf(await readStream(first)).at(-1), 'done')
  t.match((await readStream(second)).events.map(event => event.type), ['queued', 'started', 'chunk', 'done'])
})

t.test('the address of a client is the peer\'s, and X-Real-IP only where Railway\'s proxy says it', async t => {
  const addressOf = (remoteAddress: string | undefined, headers: Record<string, string | string[]> = {}) =>
    clientAddress({ socket: { remoteAddress }, headers } as unknown as FastifyRequest)
  const told = { 'x-real-ip': '203.0.113.7' }
  for (const proxy of ['100.64.0.0', '100.64.0.2', '100.127.255.255', '::ffff:100.100.1.1']) t.equal(addressOf(proxy, told), '203.0.113.7', proxy)
  for (const peer of ['100.63.255.255', '100.128.0.0', '127.0.0.1', '10.0.0.1', '::1', 'fd12::100:64', '2001:db8::1']) t.equal(addressOf(peer, told), peer, peer)
  t.equal(addressOf('100.64.0.2', { 'x-real-ip': '2001:db8::7' }), '2001:db8::7')
  for (const nonsense of ['', 'unknown', '203.0.113.7, 10.0.0.1', '203.0.113.700']) t.equal(addressOf('100.64.0.2', { 'x-real-ip': nonsense }), '100.64.0.2', nonsense)
  t.equal(addressOf('100.64.0.2', { 'x-forwarded-for': '203.0.113.7' }), '100.64.0.2', 'no other header counts')
  t.equal(addressOf('::ffff:203.0.113.9'), '203.0.113.9')
  t.equal(addressOf(undefined, told), '', 'a peer that has left')
})

t.test('browsers', async t => {
  const ORIGIN = 'https://app.example.com'
  const listed = await startService(t, { CORS_ORIGINS: `${ORIGIN}, https://other.example.com` })
  const anybody = await startService(t, { CORS_ORIGINS: '*' })
  const nobody = await startEmbedded(t)
  const allowed = async (service: Service, origin: string) =>
    (await service.request('GET', '/api/credits', { headers: { ...await bearer(), origin } })).headers.get('access-control-allow-origin')

  t.test('may call from the listed origins and no others', async t => {
    t.equal(await allowed(listed, ORIGIN), ORIGIN)
    t.equal(await allowed(listed, 'https://other.example.com'), 'https://other.example.com')
    for (const origin of ['https://evil.example', `${ORIGIN}.evil.example`, 'http://app.example.com', 'null']) t.equal(await allowed(listed, origin), null, origin)
    t.equal(await allowed(anybody, 'https://evil.example'), '*')
    t.equal(await allowed(nobody, ORIGIN), null)
  })

  t.test('may call from this machine in embedded mode, and only there', async t => {
    const pages = ['http://localhost:5173', 'https://localhost', 'http://127.0.0.1:8080', 'http://[::1]:3001']
    for (const origin of pages) t.equal(await allowed(nobody, origin), origin, origin)
    for (const origin of ['http://localhost.evil.example', 'http://127.0.0.1.evil.example:80', 'http://evil.example/#http://localhost', 'http://192.168.0.1', 'null']) {
      t.equal(await allowed(nobody, origin), null, origin)
    }
    const production = await startEmbedded(t, {
      NODE_ENV: 'production', EMBEDDED: 'true', RAILWAY_BACKEND_SECRET: randomBytes(32).toString('hex'), SUPABASE_JWT_SECRET: randomBytes(32).toString('hex')
    })
    const beside = await findPostgres(t) && await startService(t, { SUPABASE_DB_URL: await createPostgres(t) })
    for (const service of [production, beside].filter(service => !!service)) t.equal(await allowed(service, 'http://localhost:5173'), null)
  })

  t.test('learn from a preflight what they may send', async t => {
    const headers = { anonymous: '', origin: ORIGIN, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type,x-api-key,idempotency-key' }
    const { status, headers: told } = await listed.request('OPTIONS', '/api/agent/execute', { headers })
    t.equal(status, 204)
    t.equal(told.get('access-control-allow-origin'), ORIGIN)
    for (const method of ['GET', 'POST']) t.match(told.get('access-control-allow-methods'), method)
    // Packages set user-agent, and other browsers than Chromium ask for it.
    for (const name of ['authorization', 'content-type', 'user-agent', 'x-api-key', 'idempotency-key', 'last-event-id', 'x-stream-events']) t.match(told.get('access-control-allow-headers'), name)
    const foreign = await listed.request('OPTIONS', '/api/agent/execute', { headers: { ...headers, origin: 'https://evil.example' } })
    t.equal(foreign.headers.get('access-control-allow-origin'), null)
  })

  t.test('get hardened headers, and streams they can read, whatever the answer', async t => {
    const answers = [await listed.execute({}, { ...await bearer(), origin: ORIGIN }), await listed.request('GET', '/api/credits', { headers: { ...await bearer(), origin: ORIGIN } }),
      await listed.request('GET', '/nothing', { headers: { origin: ORIGIN } }), await listed.request('GET', '/api/credits', { headers: { anonymous: '', origin: ORIGIN } })]
    t.same(answers.map(({ status }) => status), [200, 200, 404, 401])
    for (const { headers } of answers) {
      t.equal(headers.get('x-content-type-options'), 'nosniff')
      t.match(headers.get('content-security-policy'), /default-src 'self'/)
      t.match(headers.get('strict-transport-security'), /max-age/)
      t.equal(headers.get('x-powered-by'), null)
      t.equal(headers.get('access-control-allow-origin'), ORIGIN)
      t.match(headers.get('access-control-expose-headers'), /x-run-id/)
      t.match(headers.get('vary'), /origin/i)
    }
  })
})

t.test('the failed attempts of tens of thousands of addresses are remembered', async t => {
  const { app } = await startService(t, { RATE_LIMIT_MAX: '1' })
  const from = (number: number) => ({ socket: { remoteAddress: `10.${number >> 16}.${number >> 8 & 255}.${number & 255}` }, headers: {}, routeOptions: { config: {} } }) as unknown as FastifyRequest
  await app.countFailedAttempt(from(0))
  for (let number = 1; number < 20_000; number++) await app.countFailedAttempt(from(number))
  await t.rejects(app.countFailedAttempt(from(0)), { code: 'rate_limited' })
})

t.test('a stream that has lived its time ends with where to go on, and its run goes on', async t => {
  const service = await startService(t, { SSE_MAX_SECONDS: '0.2' })
  const finish = holdModel(service.gateway)
  const told = await readStream(await begin(service))
  t.same(typesOf(told), ['started', 'chunk', 'reconnect'])
  t.match(told.events.at(-1), { type: 'reconnect', after: 2 })
  t.notMatch(told.raw, /\[DONE\]/)
  const runId = told.headers.get('x-run-id')!
  t.match((await service.request('GET', `/api/runs/${runId}`)).body, { status: 'running', response: 'Hel' })
  finish()
  t.match(await endOf(service, runId), { status: 'succeeded', response: 'Hello', creditsCharged: 1 })
})
