import t from 'tap'
import { say, startGateway } from '../support/doubles/gateway.js'
import { findDeno, HEAVY, PRIVATE_SIMPLE_AGENT, SIMPLE_AGENT, startBackend, startEdge, startProject } from '../support/edge.js'
import { bearer, DEMO_AGENT, DEMO_KEY, UNPUBLISHED_AGENT } from '../support/helper.js'

const ORIGIN = 'https://shop.example'
const NOT_FOUND = { status: 404, body: { code: 'run_not_found' } }
const NO_AGENT = { status: 404, body: { code: 'agent_not_found' } }

t.test('what API keys may at the edge function', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const project = await startProject(t)
  const service = await startBackend(t, project)
  const gateway = await startGateway(t)
  const edge = await startEdge(t, deno, project, { RAILWAY_BACKEND_URL: service.url, AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'test-gateway-key' })
  t.beforeEach(() => { gateway.reply = service.gateway.reply = say('Hello world') })
  const create = async (body: object): Promise<string> => (await service.request('POST', '/api/keys', { body: { name: 'A key', ...body } })).body.key
  const execute = (headers: Record<string, string>, body: object = {}) =>
    edge.request('POST', '', { body: { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false, ...body }, headers })
  const shown = { 'x-api-key': await create({ publishable: true, agentIds: [SIMPLE_AGENT, DEMO_AGENT], origins: [ORIGIN] }), origin: ORIGIN }
  const meet = async (headers: Record<string, string> = shown) => (await edge.request('POST', '/visitors', { headers })).body
  const as = (token: string) => ({ authorization: `Bearer ${token}`, origin: ORIGIN })

  t.test('published agents, and only its own where it has any, wherever they run', async t => {
    for (const agentId of [UNPUBLISHED_AGENT, PRIVATE_SIMPLE_AGENT]) t.match(await execute({ 'x-api-key': DEMO_KEY }, { agentId }), NO_AGENT)
    const simple = await create({ agentIds: [SIMPLE_AGENT] })
    t.match(await execute({ 'x-api-key': simple }), { status: 200, body: { response: 'Hello world' } })
    t.match(await execute({ 'x-api-key': simple }, HEAVY), NO_AGENT)
  })

  t.test('its own runs by their ids, and no others, here and at the service', async t => {
    const [mine, other] = [{ 'x-api-key': await create({}) }, { 'x-api-key': await create({}) }]
    for (const body of [{}, HEAVY]) {
      const { body: { runId } } = await execute(mine, body)
      t.match(await edge.request('GET', `/runs/${runId}`, { headers: mine }), { status: 200, body: { runId, response: 'Hello world' } })
      t.match(await service.request('GET', `/api/runs/${runId}`, { headers: mine }), { status: 200 })
      for (const [method, path] of [['GET', ''], ['GET', '/events'], ['POST', '/cancel']]) {
        t.match(await edge.request(method!, `/runs/${runId}${path}`, { headers: other }), NOT_FOUND)
      }
      t.match(await edge.request('GET', `/runs/${runId}`), { status: 200 }, 'its owner reads it')
    }
  })

  t.test('as much as its budget, with idempotency keys of its own', async t => {
    const small = { 'x-api-key': await create({ requestsPerDay: 2 }) }
    const once = { 'idempotency-key': 'once' }
    const { body: { runId } } = await execute({ ...small, ...once })
    t.equal((await execute({ ...small, ...once })).body.runId, runId)
    t.not((await execute({ ...await bearer(), ...once })).body.runId, runId)
    t.equal((await execute(small, HEAVY)).status, 200)
    for (const body of [{}, HEAVY]) t.match(await execute(small, body), { status: 402, body: { code: 'key_budget_exhausted' } })
  })

  t.test('visitors by tokens that the service takes too, from pages of its origins', async t => {
    const { token, visitorId } = await meet()
    t.equal((await meet(as(token))).visitorId, visitorId)
    t.equal((await service.request('POST', '/api/visitors', { headers: as(token) })).body.visitorId, visitorId)
    const { body: { runId } } = await execute(as(token))
    t.match(await edge.request('GET', `/runs/${runId}`, { headers: as(token) }), { status: 200, body: { runId } })
    t.match(await edge.request('GET', `/runs/${runId}`, { headers: as((await meet()).token) }), NOT_FOUND)
    for (const origin of ['https://evil.example', '']) t.match(await execute({ ...as(token), origin }), { status: 403, body: { code: 'forbidden' } })
    for (const headers of [await bearer(), { 'x-api-key': DEMO_KEY }]) t.match(await edge.request('POST', '/visitors', { headers }), { status: 403, body: { code: 'forbidden' } })
  })
})
