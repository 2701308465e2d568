import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { bearer, createPostgres, DEMO_AGENT, DEMO_KEY, DEMO_USER, findPostgres, OTHER_USER, PYTHON_AGENT, type Service, startEmbedded, startService, UNPUBLISHED_AGENT } from '../support/helper.js'

t.test('agents, functions and schedules over HTTP, on the embedded database', async t => testRows(t, await startEmbedded(t)))

t.test('agents, functions and schedules over HTTP, on PostgreSQL', async t => {
  if (!await findPostgres(t)) return
  await testRows(t, await startService(t, { SUPABASE_DB_URL: await createPostgres(t) }))
})

async function testRows (t: Test, { request }: Service): Promise<void> {
  const other = await bearer(OTHER_USER)
  const as = async (userId: string, method: string, path: string, body?: object) => request(method, path, { body, headers: await bearer(userId) })

  t.test('a user makes, changes, lists and deletes agents, and what is not named stays', async t => {
    const { status, body: made } = await as(OTHER_USER, 'POST', '/api/agents', { name: 'Mine', system_prompt: 'Be brief.', temperature: 0.3, knowledge_base: ['A fact'] })
    t.match({ status, made }, { status: 200, made: { user_id: OTHER_USER, name: 'Mine', system_prompt: 'Be brief.', temperature: 0.3, is_published: false, executor: 'model' } })
    const { body: changed } = await as(OTHER_USER, 'POST', '/api/agents', { id: made.id, is_published: true, system_prompt: null })
    t.match(changed, { id: made.id, name: 'Mine', is_published: true, system_prompt: null, knowledge_base: ['A fact'] })
    const { body: { rows } } = await as(OTHER_USER, 'GET', '/api/agents')
    t.match(rows[0], { id: made.id, user_id: OTHER_USER })
    t.notOk('system_prompt' in rows[0], 'a list has no prompts')
    t.same((await as(OTHER_USER, 'GET', `/api/agents?agentId=${made.id}`)).body.rows, [{ ...changed, updated_at: changed.updated_at }])
    const foreign = rows.find((row: any) => row.id === PYTHON_AGENT)
    t.same(Object.keys(foreign).sort(), ['description', 'id', 'is_published', 'name', 'user_id'], 'of a published agent of somebody else\'s only what it is called')
    t.notOk(rows.some((row: any) => row.id === UNPUBLISHED_AGENT))
    t.match(await as(OTHER_USER, 'DELETE', `/api/agents/${made.id}`), { status: 200, body: { deleted: true } })
    t.match(await as(OTHER_USER, 'DELETE', `/api/agents/${made.id}`), { status: 404, body: { code: 'not_found' } })
  })

  t.test('nobody reads, changes or deletes what is somebody else\'s', async t => {
    const { body: fn } = await as(DEMO_USER, 'POST', '/api/functions', { agent_id: DEMO_AGENT, name: 'secret', function_type: 'api_call', config: { url: 'https://example.com' } })
    const { body: schedule } = await as(DEMO_USER, 'POST', '/api/schedules', { agent_id: DEMO_AGENT, prompt_template: 'Hi' })
    t.same((await as(OTHER_USER, 'GET', `/api/agents?agentId=${DEMO_AGENT}`)).body, { rows: [] })
    t.same((await as(OTHER_USER, 'GET', `/api/functions?agentId=${DEMO_AGENT}`)).body, { rows: [] })
    t.same((await as(OTHER_USER, 'GET', '/api/schedules')).body, { rows: [] })
    for (const [path, body] of [
      ['/api/agents', { id: DEMO_AGENT, name: 'Taken' }], ['/api/functions', { id: fn.id, name: 'Taken' }], ['/api/schedules', { id: schedule.id, is_enabled: true }],
      ['/api/functions', { agent_id: DEMO_AGENT, name: 'Mine', function_type: 'webhook' }], ['/api/schedules', { agent_id: DEMO_AGENT }]
    ] as const) t.match(await as(OTHER_USER, 'POST', path, body), { status: 404 }, `${path} ${JSON.stringify(body)}`)
    for (const path of [`/api/agents/${DEMO_AGENT}`, `/api/functions/${fn.id}`, `/api/schedules/${schedule.id}`]) t.equal((await as(OTHER_USER, 'DELETE', path)).status, 404, path)
    const { body: mine } = await as(OTHER_USER, 'POST', '/api/agents', { name: 'Mine' })
    t.match(await as(DEMO_USER, 'POST', '/api/functions', { id: fn.id, agent_id: mine.id }), { status: 404 }, 'nor moves a function to another\'s agent')
    for (const path of ['/api/agents', '/api/functions', '/api/schedules', '/api/firings']) t.equal((await request('GET', path, { headers: { 'x-api-key': DEMO_KEY } })).status, 403, `${path} by a key`)
    await as(DEMO_USER, 'DELETE', `/api/functions/${fn.id}`)
  })

  t.test('a list has as many functions as have two megabytes together, the first in any case, for their owner and for admins', async t => {
    const { body: mine } = await as(OTHER_USER, 'POST', '/api/agents', { name: 'Large' })
    const config = { condition_keyword: 'x', condition_response: 'x'.repeat(190_000) }
    for (let n = 0; n < 12; n++) {
      t.equal((await as(OTHER_USER, 'POST', '/api/functions', { agent_id: mine.id, name: `f${n}`, function_type: 'conditional', config, execution_order: n })).status, 200)
    }
    const { body: { rows } } = await as(OTHER_USER, 'GET', `/api/functions?agentId=${mine.id}`)
    const { body: { functions } } = await as(DEMO_USER, 'GET', `/api/admin/agents/${mine.id}`)
    const first = Array.from({ length: 10 }, (_, n) => `f${n}`)
    t.same(rows.map(({ name }: any) => name), first)
    t.same(functions.map(({ name }: any) => name), first)
    await as(OTHER_USER, 'DELETE', `/api/agents/${mine.id}`)
  })

  t.test('only admins say which code runs', async t => {
    t.match(await as(OTHER_USER, 'POST', '/api/agents', { name: 'Code', executor: 'python', entrypoint: 'os:system' }), { status: 403, body: { code: 'forbidden' } })
    const { body: { rows } } = await as(OTHER_USER, 'GET', '/api/agents')
    t.notOk(rows.some(({ name }: any) => name === 'Code'), 'nothing is left of it')
    const { body: mine } = await as(OTHER_USER, 'POST', '/api/agents', { name: 'Mine too' })
    t.match(await as(OTHER_USER, 'POST', '/api/functions', { agent_id: mine.id, name: 'code', function_type: 'python', config: { entrypoint: 'os:system' } }), { status: 403 })
    const { body: fn } = await as(OTHER_USER, 'POST', '/api/functions', { agent_id: mine.id, name: 'code', function_type: 'webhook' })
    t.match(await as(OTHER_USER, 'POST', '/api/functions', { id: fn.id, function_type: 'python' }), { status: 403 })
    t.match(await as(DEMO_USER, 'POST', '/api/agents', { name: 'Code', executor: 'python', entrypoint: 'examples.text_statistics:run' }), { status: 200, body: { executor: 'python' } })
  })

  t.test('whose a row is and what the service writes into it cannot be set, and what is missing or malformed is named', async t => {
    for (const body of [{ name: 'x', user_id: OTHER_USER }, { name: 'x', railway_url: 'https://example.com' }, { name: ' ' }, { system_prompt: 'no name' }, { id: 'x', name: 'x' }]) {
      t.match(await as(OTHER_USER, 'POST', '/api/agents', body), { status: 400, body: { code: 'bad_request', details: [{ path: String }] } }, JSON.stringify(body))
    }
    t.match(await request('POST', '/api/schedules', { headers: other, body: { agent_id: randomUUID() } }), { status: 404, body: { code: 'agent_not_found' } })
  })

  t.test('a schedule is one an agent, and a user\'s ledger says how the balance came to be', async t => {
    const [first, second] = [await as(DEMO_USER, 'POST', '/api/schedules', { agent_id: PYTHON_AGENT, prompt_template: 'One' }), await as(DEMO_USER, 'POST', '/api/schedules', { agent_id: PYTHON_AGENT, prompt_template: 'Two' })]
    t.equal(first.body.id, second.body.id)
    t.match(second.body, { prompt_template: 'Two', is_enabled: false })
    t.notOk('unplanned_since' in second.body)
    const { body: { credits, entries } } = await as(OTHER_USER, 'GET', '/api/credits/ledger')
    t.equal(-entries.reduce((sum: number, { creditsUsed }: any) => sum + creditsUsed, 0), credits.creditsRemaining + credits.creditsReserved)
    t.notOk(entries.some((entry: any) => 'metadata' in entry), 'users do not read which role has changed it')
  })
}
