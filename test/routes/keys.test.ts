import { randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import t, { type Test } from 'tap'
import type { ApiKey, CreatedApiKey } from '../../src/contract/api-keys.js'
import { hang, say } from '../support/doubles/gateway.js'
import {
  bearer, DEMO_AGENT, DEMO_KEY, DEMO_USER, endOf, JWT_SECRET, OTHER_USER, PYTHON_AGENT, readStream, type Service, startService, UNPUBLISHED_AGENT
} from '../support/helper.js'

const ORIGIN = 'https://shop.example'
const WHOLE = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false }
const PUBLISHABLE = { name: 'Shop', publishable: true, agentIds: [DEMO_AGENT], origins: [ORIGIN] }
const FORBIDDEN = { status: 403, body: { code: 'forbidden', statusCode: 403, error: String } }
const NOT_FOUND = { status: 404, body: { code: 'run_not_found' } }

t.test('what API keys may', async t => {
  const service = await startService(t)
  const { request, gateway } = service
  t.beforeEach(() => { gateway.reply = say('Hello world') })

  async function create (body: object, userId = DEMO_USER): Promise<CreatedApiKey> {
    const { status, body: created } = await request('POST', '/api/keys', { body: { name: 'A key', ...body }, headers: await bearer(userId) })
    if (status !== 201) throw new Error(JSON.stringify(created))
    return created
  }
  const execute = (headers: Record<string, string>, body: object = {}) => request('POST', '/api/agent/execute', { body: { ...WHOLE, ...body }, headers })
  const runOf = async (headers: Record<string, string>): Promise<string> => (await execute(headers)).body.runId

  t.test('keys are made, listed and revoked with a session, by their user alone, and shown once', async t => {
    const { body: { key, ...created }, headers, status } = await request('POST', '/api/keys', { body: { name: 'Server' } })
    t.equal(status, 201)
    t.equal(headers.get('cache-control'), 'no-store')
    t.match(key, /^jsk_[A-Za-z0-9]{32}$/)
    t.same(created, {
      id: created.id,
      name: 'Server',
      prefix: key.slice(0, 12),
      publishable: false,
      scopes: [],
      agentIds: [],
      origins: [],
      requestsPerDay: null,
      creditsPerDay: null,
      isActive: true,
      lastUsedAt: null,
      createdAt: created.createdAt
    })
    t.match(await execute({ 'x-api-key': key }), { status: 200, body: { response: 'Hello world' } })
    const list = async (userId = DEMO_USER): Promise<ApiKey[]> => (await request('GET', '/api/keys', { headers: await bearer(userId) })).body.keys
    t.match((await list())[0], { id: created.id, isActive: true, lastUsedAt: String })
    t.notMatch(JSON.stringify(await list()), key, 'the key is shown once')
    t.same(await list(OTHER_USER), [])
    const revoke = async (userId = DEMO_USER) => request('DELETE', `/api/keys/${created.id}`, { headers: await bearer(userId) })
    t.match(await revoke(OTHER_USER), { status: 404, body: { code: 'key_not_found' } })
    t.match(await revoke(), { status: 200, body: { id: created.id, isActive: false } })
    t.match(await revoke(), { status: 200, body: { isActive: false } }, 'repeated, it changes nothing')
    t.match(await execute({ 'x-api-key': key }), { status: 401, body: { code: 'unauthorized' } })
    t.match((await list())[0], { id: created.id, isActive: false })
    t.same(service.logs.filter(line => line.includes(key)), [])
  })

  t.test('a key that is asked for wrongly is refused with what is wrong', async t => {
    const wrong: Array<[body: object, path: string]> = [
      [{}, 'name'], [{ name: ' ' }, 'name'], [{ name: 'x', scopes: ['admin'] }, 'scopes.0'], [{ name: 'x', requestsPerDay: -1 }, 'requestsPerDay'],
      [{ name: 'x', creditsPerDay: '5' }, 'creditsPerDay'], [{ name: 'x', agentIds: ['x'] }, 'agentIds.0'], [{ name: 'x', requestPerDay: 5 }, ''],
      [{ ...PUBLISHABLE, agentIds: [] }, 'agentIds'], [{ ...PUBLISHABLE, origins: [] }, 'origins'], [{ ...PUBLISHABLE, scopes: ['read'] }, 'scopes'],
      ...['*', 'shop.example', 'https://shop.example/page', 'https://a@shop.example', 'null', 'file:///x', 'javascript:alert(1)'].map(origin =>
        [{ ...PUBLISHABLE, origins: [origin] }, 'origins.0'] as [object, string])
    ]
    for (const [body, path] of wrong) {
      const { status, body: answer } = await request('POST', '/api/keys', { body })
      t.equal(status, 400, JSON.stringify(body))
      t.match(answer, { code: 'bad_request', details: path ? [{ path }] : [{}] }, JSON.stringify(body))
    }
    t.match(await request('POST', '/api/keys', { body: { name: 'x', agentIds: [randomUUID()] } }), { status: 404, body: { code: 'agent_not_found' } })
    t.match(await create({ ...PUBLISHABLE, origins: ['HTTPS://Shop.Example:443/'] }), { origins: [ORIGIN], requestsPerDay: 1000, creditsPerDay: 100 })
  })

  t.test('a key lists nothing, reads no balance, makes no keys, and opens no route of administration, though its owner is an admin', async t => {
    const routes = ['/api/runs', '/api/credits', '/api/keys', '/api/admin/stats', '/api/admin/runs', `/api/admin/users/${OTHER_USER}/ledger`, '/api/admin/railway-urls', '/ready?deep=1']
    const posts = ['/api/keys', `/api/keys/${randomUUID()}`, `/api/admin/users/${OTHER_USER}/credits`, `/api/admin/agents/${DEMO_AGENT}/railway-url`, '/api/visitors']
    const shown = await create(PUBLISHABLE)
    const { key: reading } = await create({ scopes: ['read'] })
    const callers: Array<Record<string, string>> = [
      { 'x-api-key': DEMO_KEY }, { authorization: `Bearer ${DEMO_KEY}` }, { 'x-api-key': shown.key, origin: ORIGIN }, { 'x-api-key': reading }
    ]
    for (const headers of callers) {
      const isReading = headers['x-api-key'] === reading
      for (const path of routes.slice(isReading ? 2 : 0)) t.match(await request('GET', path, { headers }), FORBIDDEN, path)
      for (const path of posts.slice(0, headers['x-api-key'] === shown.key ? 4 : 5)) {
        const method = path.startsWith('/api/keys/') ? 'DELETE' : 'POST'
        t.match(await request(method, path, { headers, body: {} }), FORBIDDEN, path)
      }
    }
  })

  t.test('a key executes published agents, and only its own where it has any', async t => {
    t.match(await execute({ 'x-api-key': DEMO_KEY }, { agentId: UNPUBLISHED_AGENT }), { status: 404, body: { code: 'agent_not_found' } })
    t.equal((await execute(await bearer(), { agentId: UNPUBLISHED_AGENT })).status, 200, 'its owner executes it')
    const { key } = await create({ agentIds: [PYTHON_AGENT] })
    t.match(await execute({ 'x-api-key': key }), { status: 404, body: { code: 'agent_not_found' } })
  })

  t.test('a key reads, follows and cancels the runs that it began, and no others', async t => {
    const own = { 'x-api-key': (await create({})).key }
    const other = { 'x-api-key': (await create({})).key }
    const runId = await runOf(own)
    t.match(await request('GET', `/api/runs/${runId}`, { headers: own }), { status: 200, body: { runId, response: 'Hello world' } })
    t.match(await readStream(await fetch(`${service.url}/api/runs/${runId}/events`, { headers: own })), { text: 'Hello world' })
    const foreign = [await runOf(other), await runOf(await bearer()), await runOf(await bearer(OTHER_USER)), randomUUID()]
    for (const id of foreign) {
      for (const [method, path] of [['GET', ''], ['GET', '/events'], ['POST', '/cancel']]) t.match(await request(method!, `/api/runs/${id}${path}`, { headers: own }), NOT_FOUND)
    }
    gateway.reply = hang('half')
    const { body: { runId: underWay } } = await execute(own, { background: true, stream: undefined })
    t.match(await request('POST', `/api/runs/${underWay}/cancel`, { headers: other }), NOT_FOUND)
    t.match(await request('POST', `/api/runs/${underWay}/cancel`, { headers: own }), { status: 200, body: { status: 'cancelled' } })
    t.equal((await request('GET', `/api/runs/${runId}`)).status, 200, 'its owner reads them all')
  })

  t.test('a key with the scope `read` lists and reads its owner\'s runs and credits, and cancels its own alone', async t => {
    const headers = { 'x-api-key': (await create({ scopes: ['read'] })).key }
    const runId = await runOf(await bearer())
    t.match(await request('GET', '/api/runs?limit=1', { headers }), { status: 200, body: { runs: [{ runId }] } })
    t.match(await request('GET', '/api/credits', { headers }), { status: 200, body: { creditsRemaining: Number } })
    t.match(await request('GET', `/api/runs/${runId}`, { headers }), { status: 200, body: { runId } })
    t.match(await readStream(await fetch(`${service.url}/api/runs/${runId}/events`, { headers })), { text: 'Hello world' })
    t.match(await request('POST', `/api/runs/${runId}/cancel`, { headers }), NOT_FOUND)
    t.match(await request('GET', `/api/runs/${await runOf(await bearer(OTHER_USER))}`, { headers }), NOT_FOUND)
  })

  t.test('idempotency keys are each caller\'s own', async t => {
    const once = { 'idempotency-key': randomUUID() }
    const callers = [await bearer(), { 'x-api-key': DEMO_KEY }, { 'x-api-key': (await create({})).key }]
    const runs = await Promise.all(callers.flatMap(headers => [runOf({ ...headers, ...once }), runOf({ ...headers, ...once })]))
    t.equal(new Set(runs).size, 3)
    t.same(runs.filter((_, n) => n % 2 === 0), runs.filter((_, n) => n % 2 === 1))
  })

  t.test('a key over its budget is refused with 402, in every face, and nobody else is', async t => {
    const { key } = await create({ requestsPerDay: 1 })
    t.equal((await execute({ 'x-api-key': key })).status, 200)
    for (const stream of [true, false]) t.match(await execute({ 'x-api-key': key }, { stream }), { status: 402, body: { code: 'key_budget_exhausted' } })
    t.match(await execute({ 'x-api-key': (await create({ creditsPerDay: 0 })).key }), { status: 402, body: { code: 'key_budget_exhausted' } })
    t.equal((await execute({ 'x-api-key': DEMO_KEY })).status, 200)
  })

  t.test('visitors', async t => testVisitors(t, service, { create, execute }))
})

interface Tools { create: (body: object, userId?: string) => Promise<CreatedApiKey>, execute: (headers: Record<string, string>, body?: object) => ReturnType<Service['request']> }

async function testVisitors (t: Test, { app, request, url, gateway }: Service, { create, execute }: Tools): Promise<void> {
  const { key, id } = await create(PUBLISHABLE)
  const shown = { 'x-api-key': key, origin: ORIGIN }
  const meet = async (headers: Record<string, string> = shown) => (await request('POST', '/api/visitors', { headers })).body
  const as = (token: string) => ({ authorization: `Bearer ${token}`, origin: ORIGIN })

  t.test('are named by a token of an hour, which renews itself', async t => {
    t.match(key, /^jpk_[A-Za-z0-9]{32}$/)
    const { status, headers, body } = await request('POST', '/api/visitors', { headers: shown })
    t.equal(status, 201)
    t.equal(headers.get('cache-control'), 'no-store')
    t.match(body, { token: /^eyJ/, visitorId: /^[0-9a-f-]{36}$/, expiresAt: String })
    const left = Date.parse(body.expiresAt) - Date.now()
    t.ok(left > 3_500_000 && left <= 3_600_000)
    for (const headers of [as(body.token), { ...shown, ...as(body.token) }]) t.equal((await meet(headers)).visitorId, body.visitorId)
    t.not((await meet()).visitorId, body.visitorId, 'without one it is another visitor')
    t.match(await request('POST', '/api/visitors', { headers: await bearer() }), FORBIDDEN, 'a session has none')
  })

  t.test('read, follow and cancel their own runs alone, and have idempotency keys of their own', async t => {
    const [ann, bob] = [as((await meet()).token), as((await meet()).token)]
    const once = { 'idempotency-key': 'once' }
    const { body: { runId } } = await execute({ ...ann, ...once })
    t.equal((await execute({ ...ann, ...once })).body.runId, runId)
    t.not((await execute({ ...bob, ...once })).body.runId, runId)
    t.match(await request('GET', `/api/runs/${runId}`, { headers: ann }), { status: 200, body: { response: 'Hello world' } })
    t.match(await request('GET', `/api/runs/${runId}`, { headers: { ...ann, 'x-api-key': key } }), { status: 200 })
    t.match(await readStream(await fetch(`${url}/api/runs/${runId}/events`, { headers: ann })), { text: 'Hello world' })
    for (const headers of [bob, shown, { 'x-api-key': DEMO_KEY }]) {
      for (const [method, path] of [['GET', ''], ['GET', '/events'], ['POST', '/cancel']]) t.match(await request(method!, `/api/runs/${runId}${path}`, { headers }), NOT_FOUND)
    }
    for (const path of ['/api/runs', '/api/credits', '/api/keys', '/api/admin/stats']) t.match(await request('GET', path, { headers: ann }), FORBIDDEN, path)
    t.equal((await request('GET', `/api/runs/${runId}`)).status, 200, 'the key\'s owner reads it')
  })

  t.test('without a token begin a run that nobody else reads', async t => {
    const { status, body } = await execute(shown)
    t.equal(status, 200)
    t.match(await request('GET', `/api/runs/${body.runId}`, { headers: shown }), NOT_FOUND)
  })

  t.test('come from pages of the key\'s origins, with the key\'s agents', async t => {
    const { token } = await meet()
    for (const origin of ['https://evil.example', 'https://shop.example.evil.example', 'http://shop.example', 'https://shop.example:8443', 'null', undefined]) {
      const credentials: Array<Record<string, string>> = [{ 'x-api-key': key }, { authorization: `Bearer ${key}` }, { authorization: `Bearer ${token}` }]
      for (const given of credentials) {
        const headers = origin === undefined ? given : { ...given, origin }
        t.match(await execute(headers), FORBIDDEN, String(origin))
        t.match(await request('POST', '/api/visitors', { headers }), FORBIDDEN, String(origin))
      }
    }
    t.match(await execute(as(token), { agentId: PYTHON_AGENT }), { status: 404, body: { code: 'agent_not_found' } })
  })

  t.test('are refused with a token that is forged, old, or another key\'s, and after the key is revoked', async t => {
    const other = await create(PUBLISHABLE)
    const { token, visitorId } = await meet()
    const forge = (secret: string, lifetime = '1h') => new SignJWT({ key: id }).setProtectedHeader({ alg: 'HS256' }).setSubject(visitorId)
      .setAudience('jeesi:visitor').setExpirationTime(lifetime).sign(new TextEncoder().encode(secret))
    const ofOther = (await meet({ 'x-api-key': other.key, origin: ORIGIN })).token
    const [header, payload, signature] = token.split('.') as [string, string, string]
    const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), sub: randomUUID() }
    const renamed = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${signature}`
    for (const bad of [await forge(JWT_SECRET), await forge(key), renamed, `${header}.${payload}.`]) t.match(await execute(as(bad)), { status: 401, body: { code: 'unauthorized' } })
    t.match(await execute({ ...as(ofOther), 'x-api-key': key }), { status: 401 })
    t.match(await execute({ ...as(token), 'x-api-key': DEMO_KEY }), { status: 401 }, 'beside a key that has no visitors')
    t.match(await request('GET', '/api/credits', { headers: as(token) }), FORBIDDEN, 'it is no session')
    const { visitorSecret } = await app.database.call('authenticate_api_key', { p_key_hash: null, p_api_key_id: id })
    t.equal((await execute(as(await forge(visitorSecret!)))).status, 200, 'the secret is in the database alone')
    t.match(await execute(as(await forge(visitorSecret!, '-1s'))), { status: 401, body: { error: /expired/ } })
    await request('DELETE', `/api/keys/${other.id}`)
    t.match(await execute(as(ofOther)), { status: 401, body: { code: 'unauthorized' } })
  })

  t.test('share the key\'s budget of a day', async t => {
    const small = await create({ ...PUBLISHABLE, requestsPerDay: 2 })
    const answers = []
    for (let n = 0; n < 3; n++) answers.push((await execute(as((await meet({ 'x-api-key': small.key, origin: ORIGIN })).token))).status)
    t.same(answers, [200, 200, 402])
  })

  t.test('who leave while their run goes on find it again', async t => {
    const visitor = as((await meet()).token)
    const asked = new Promise<() => void>(resolve => {
      gateway.reply = (response, call, number) => resolve(() => { say('Hello', ' world')(response, call, number) })
    })
    const { body: { runId } } = await execute(visitor, { background: true, stream: undefined })
    const finish = await asked
    finish()
    const { token } = (await request('POST', '/api/visitors', { headers: visitor })).body
    t.match(await endOf({ request } as Service, runId, as(token)), { response: 'Hello world' })
  })
}
