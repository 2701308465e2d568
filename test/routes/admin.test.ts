import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t from 'tap'
import { hang, inTurn, refuse, say } from '../support/doubles/gateway.js'
import { bearer, createDataDir, DEMO_AGENT, DEMO_KEY, DEMO_USER, OTHER_USER, parseStream, PYTHON_AGENT, type Service, startService } from '../support/helper.js'

const UNKNOWN = '99999999-9999-4999-8999-999999999999'

async function newestRun ({ request }: Service): Promise<string> {
  return (await request('GET', '/api/admin/runs?limit=1')).body.runs[0].runId
}

t.test('administration', async t => {
  const service = await startService(t)
  const { request } = service
  await service.execute()
  await service.execute({}, await bearer(OTHER_USER))
  const routes: Array<[string, string, object?]> = [
    ['GET', '/api/admin/stats'],
    ['GET', '/api/admin/runs'],
    ['GET', `/api/admin/runs/${await newestRun(service)}`],
    ['GET', `/api/admin/runs/${await newestRun(service)}/events`],
    ['POST', `/api/admin/runs/${await newestRun(service)}/cancel`],
    ['GET', '/api/admin/users'],
    ['GET', `/api/admin/users/${OTHER_USER}/ledger`],
    ['POST', `/api/admin/users/${OTHER_USER}/credits`, { credits: 1, reason: 'Because' }],
    ['GET', '/api/admin/railway-urls'],
    ['GET', '/ready?deep=1']
  ]

  t.test('is for admins: others get 403, strangers 401, and a key that may stand in a page is no session', async t => {
    for (const [method, path, body] of routes) {
      const as = (headers: Record<string, string>) => request(method, path, { body, headers })
      t.match(await as(await bearer(OTHER_USER)), { status: 403, body: { code: 'forbidden', error: 'This is for admins.' } }, path)
      t.match(await as({ anonymous: '' }), { status: 401, body: { code: 'unauthorized' } }, path)
      t.equal((await as(await bearer())).status, 200, path)
      t.match(await as({ 'x-api-key': DEMO_KEY }), { status: 403, body: { code: 'forbidden' } }, path)
    }
  })

  t.test('lists everybody\'s runs with whose they are, filtered and paged', async t => {
    const { body } = await request('GET', '/api/admin/runs')
    t.same(body.runs.map(({ userId }: { userId: string }) => userId), [OTHER_USER, DEMO_USER], 'newest first')
    t.match(body.runs[0], { agentId: DEMO_AGENT, status: 'succeeded', response: 'Hello world', creditsCharged: 1 })
    const mine = await request('GET', `/api/admin/runs?userId=${DEMO_USER}&status=succeeded&agentId=${DEMO_AGENT}`)
    t.same(mine.body.runs.map(({ userId }: { userId: string }) => userId), [DEMO_USER])
    const first = await request('GET', '/api/admin/runs?limit=1')
    const second = await request('GET', `/api/admin/runs?limit=1&cursor=${first.body.nextCursor}`)
    t.same([...first.body.runs, ...second.body.runs], body.runs)
    t.equal(second.body.nextCursor, null)
    for (const query of ['limit=0', 'limit=101', 'userId=x', 'status=gone', 'cursor=x', `cursor=${UNKNOWN}`]) {
      t.match(await request('GET', `/api/admin/runs?${query}`), { status: 400, body: { code: 'bad_request' } }, query)
    }
  })

  t.test('reads why a run failed, which its user does not', async t => {
    const { gateway, logs } = service
    gateway.reply = response => { response.writeHead(402).end('{"error":{"message":"Top up the account of acme-llm"}}') }
    const { status, body } = await request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false } })
    gateway.reply = say('Hello world')
    t.equal(status, 503)
    t.match(body, { code: 'gateway_payment_required', error: 'This agent is not available right now.' })
    const reason = 'the AI gateway answered 402: Top up the account of acme-llm'
    t.match((await request('GET', '/api/admin/runs?limit=1')).body.runs, [{ runId: body.runId, reason, error: { message: 'This agent is not available right now.' } }])
    t.notMatch(JSON.stringify((await request('GET', `/api/runs/${body.runId}`)).body), /acme|answered/, 'by its user')
    t.ok(logs.some(line => line.includes('[AGENT-EXECUTOR] finished') && JSON.parse(line).reason === reason), 'the log has it too')
    t.match((await request('GET', '/api/admin/runs?status=succeeded&limit=1')).body.runs, [{ reason: null }])
  })

  t.test('inspects a run: whose it is, its steps, and each failure of the gateway with the gateway\'s own reason', async t => {
    const { gateway } = service
    const from = gateway.calls.length
    const replies = inTurn(refuse(503, 'acme-llm is overloaded'), refuse(429, 'slow down', { 'retry-after-ms': '1' }), say('Hello'))
    gateway.reply = (response, call, number) => replies(response, call, number - from)
    const told = await service.execute({}, await bearer(OTHER_USER))
    const runId = told.headers.get('x-run-id')
    const { status, body } = await request('GET', `/api/admin/runs/${runId}`)
    t.equal(status, 200)
    t.match(body, {
      runId,
      userId: OTHER_USER,
      status: 'succeeded',
      response: 'Hello',
      model: 'test/model',
      crashes: 0,
      reason: null,
      failures: [
        { attempt: 1, at: /Z$/, code: 'gateway_unavailable', status: 503, reason: 'the AI gateway answered 503: acme-llm is overloaded', model: 'google/gemini-2.5-flash' },
        { code: 'gateway_rate_limited', status: 429 }
      ],
      steps: [{ step: 1, attempt: 1, kind: 'model', name: 'test/model', finishReason: 'stop', usage: { totalTokens: 15 }, startedAt: /Z$/, finishedAt: /Z$/ }]
    })
    t.strictSame((await request('GET', `/api/runs/${runId}/steps`, { headers: await bearer(OTHER_USER) })).body, { steps: body.steps }, 'its user reads the steps too')
    t.match(await request('GET', `/api/runs/${runId}/steps`), { status: 404, body: { code: 'run_not_found' } }, 'and nobody else, except by an admin\'s route')
    t.notMatch(JSON.stringify([told.raw, (await request('GET', `/api/runs/${runId}`, { headers: await bearer(OTHER_USER) })).body]), /acme/, 'its user reads none of it')

    gateway.reply = response => { response.socket!.destroy() }
    const failed = await request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false } })
    gateway.reply = say('Hello world')
    const { body: broken } = await request('GET', `/api/admin/runs/${failed.body.runId}`)
    t.match(broken, { status: 'failed', error: { code: 'gateway_unavailable' }, reason: String, failures: { length: 4 } }, 'of all tries')
    t.match(await request('GET', `/api/admin/runs/${UNKNOWN}`), { status: 404, body: { code: 'run_not_found' } })
    t.match(await request('GET', '/api/admin/runs/x'), { status: 400, body: { code: 'bad_request' } })
  })

  t.test('grants credits with a reason, once a key, and the ledger says by whom', async t => {
    const grant = (body: unknown, headers = {}, user = OTHER_USER) =>
      request('POST', `/api/admin/users/${user}/credits`, { body, headers })
    const { creditsRemaining } = await service.credits(OTHER_USER)
    const key = { 'idempotency-key': randomUUID() }
    const body = { credits: 10, reason: 'A month of trouble' }
    for (let n = 0; n < 3; n++) {
      t.match(await grant(body, key), { status: 200, body: { creditsRemaining: creditsRemaining + 10, creditsReserved: 0 } })
    }
    t.match(await grant({ ...body, credits: 11 }, key), { status: 422, body: { code: 'idempotency_key_reused' } })
    t.match(await grant(body, {}, UNKNOWN), { status: 404, body: { code: 'user_not_found' } })
    const wrong = [{}, { credits: 1 }, { reason: 'x' }, { credits: 0, reason: 'x' }, { credits: -1_000_001, reason: 'x' }, { credits: 1.5, reason: 'x' },
      { credits: '5', reason: 'x' }, { credits: 1_000_001, reason: 'x' }, { credits: 1, reason: '' }, { credits: 1, reason: '  ' }]
    for (const fields of wrong) t.match(await grant(fields), { status: 400, body: { code: 'bad_request', details: [{}] } }, JSON.stringify(fields))
    t.equal((await service.credits(OTHER_USER)).creditsRemaining, creditsRemaining + 10)

    const { body: ledger } = await request('GET', `/api/admin/users/${OTHER_USER}/ledger?limit=1`)
    t.match(ledger, {
      credits: { creditsRemaining: creditsRemaining + 10 },
      entries: [{ creditsUsed: -10, operationType: 'grant', runId: null, metadata: { reason: 'A month of trouble', grantedBy: DEMO_USER } }],
      nextCursor: String
    })
    const { body: rest } = await request('GET', `/api/admin/users/${OTHER_USER}/ledger?cursor=${ledger.nextCursor}`)
    t.match(rest.entries.at(-2), { creditsUsed: 1, operationType: 'agent_execution', agentId: DEMO_AGENT, runId: String })
    t.match(rest.entries.at(-1), { creditsUsed: -3, operationType: 'opening', agentId: null, runId: null }, 'what a balance began with is in it')
    t.match(await request('GET', `/api/admin/users/${UNKNOWN}/ledger`), { status: 404, body: { code: 'user_not_found' } })
    t.match(await request('GET', '/api/admin/users/x/ledger'), { status: 400, body: { code: 'bad_request' } })
    t.match((await request('GET', '/api/admin/stats')).body, { total_credits_used: 3 }, 'what was given is no use')
  })

  t.test('takes credits that remain, and no others, and the ledger keeps adding up', async t => {
    const take = (credits: number) => request('POST', `/api/admin/users/${OTHER_USER}/credits`, { body: { credits, reason: 'A mistake' } })
    const { creditsRemaining } = await service.credits(OTHER_USER)
    t.match(await take(-(creditsRemaining + 1)), { status: 400, body: { code: 'bad_request', error: 'The user has fewer credits left than that.' } })
    t.match(await take(-4), { status: 200, body: { creditsRemaining: creditsRemaining - 4 } })
    const { body } = await request('GET', `/api/admin/users/${OTHER_USER}/ledger?limit=1`)
    t.match(body.entries, [{ creditsUsed: 4, operationType: 'adjustment', metadata: { reason: 'A mistake', grantedBy: DEMO_USER } }])
    t.match((await request('GET', '/ready?deep=1')).body, { audit: { problems: [] } })
  })

  t.test('finds users by how their addresses begin, page by page', async t => {
    const users = async (query: string) => (await request('GET', `/api/admin/users?${query}`)).body
    const demo = { userId: DEMO_USER, email: 'demo@jeesi.local', isAdmin: true, createdAt: /Z$/, credits: { planType: 'demo' } }
    t.match(await users('email=DEMO@'), { users: [demo], nextCursor: null })
    t.match(await users('email=other'), { users: [{ userId: OTHER_USER, isAdmin: false }] })
    for (const email of ['nobody', '%25', '_emo', '\'']) t.same(await users(`email=${email}`), { users: [], nextCursor: null }, email)
    const first = await users('limit=1')
    const second = await users(`limit=1&cursor=${first.nextCursor}`)
    t.same([...first.users, ...second.users].map(({ userId }: { userId: string }) => userId).sort(), [DEMO_USER, OTHER_USER])
    t.equal(second.nextCursor, null)
    for (const query of ['limit=0', 'email=', 'cursor=x', `cursor=${UNKNOWN}`]) t.match(await request('GET', `/api/admin/users?${query}`), { status: 400 }, query)
  })

  t.test('follows and cancels anybody\'s run, and each look is noted, found or not', async t => {
    const dataDir = await createDataDir(t)
    const service = await startService(t, { DATA_DIR: dataDir })
    const { gateway, request, url } = service
    gateway.reply = hang('half')
    const arriving = gateway.nextCall()
    const body = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
    const { body: { runId } } = await request('POST', '/api/agent/execute', { body, headers: await bearer(OTHER_USER) })
    await arriving
    const following = await fetch(`${url}/api/admin/runs/${runId}/events`, { headers: await bearer() })
    t.equal(following.headers.get('x-run-id'), runId)
    const told = following.text()
    t.match(await request('POST', `/api/admin/runs/${runId}/cancel`), { status: 200, body: { runId, status: 'cancelled' } })
    t.strictSame([...new Set(parseStream(await told).map(({ type }) => type))], ['started', 'chunk', 'cancelled'])
    t.match(await request('GET', `/api/runs/${runId}`, { headers: await bearer(OTHER_USER) }), { body: { status: 'cancelled' } })
    for (const [method, path] of [['GET', 'events'], ['POST', 'cancel']] as const) {
      t.match(await request(method, `/api/admin/runs/${UNKNOWN}/${path}`), { status: 404, body: { code: 'run_not_found' } })
    }
    await service.app.close()
    const pglite = await PGlite.create(join(dataDir, 'postgres'))
    const { rows } = await pglite.query('select action, user_id, details from public.admin_actions order by id')
    await pglite.close()
    t.same(rows, [
      { action: 'run_events', user_id: OTHER_USER, details: { runId } },
      { action: 'cancel', user_id: OTHER_USER, details: { runId } },
      { action: 'run_events', user_id: null, details: { runId: UNKNOWN, error: 'run_not_found' } },
      { action: 'cancel', user_id: null, details: { runId: UNKNOWN, error: 'run_not_found' } }
    ])
  })

  t.test('lists the backends that owners ask for, and approves or refuses what was looked at', async t => {
    const dataDir = await createDataDir(t)
    const pglite = await PGlite.create(join(dataDir, 'postgres'))
    await pglite.exec(`update public.agents set railway_url_requested = 'https://one.example' where id = '${DEMO_AGENT}';
      update public.agents set railway_url_requested = 'https://two.example' where id = '${PYTHON_AGENT}'`)
    await pglite.close()
    const { request } = await startService(t, { DATA_DIR: dataDir })
    const settle = (agentId: string, body: object, headers?: Record<string, string>) => request('POST', `/api/admin/agents/${agentId}/railway-url`, { body, headers })
    const { body } = await request('GET', '/api/admin/railway-urls')
    t.match(body, { total: 2, requests: [{ agentId: String, agentName: String, userId: DEMO_USER, railwayUrl: null, requestedUrl: /^https/, requestedAt: /Z$/ }, {}] })
    t.match((await request('GET', '/api/admin/railway-urls?limit=1')).body, { total: 2, requests: { length: 1 } })

    const wanted = { url: 'https://one.example', approve: true }
    t.match(await settle(DEMO_AGENT, wanted, await bearer(OTHER_USER)), { status: 403, body: { code: 'forbidden' } })
    t.match(await settle(DEMO_AGENT, { ...wanted, url: 'https://else.example' }), { status: 409, body: { code: 'railway_url_changed', error: String } })
    t.match(await settle(UNKNOWN, wanted), { status: 404, body: { code: 'agent_not_found' } })
    for (const wrong of [{}, { url: 'https://one.example' }, { approve: true }, { url: '', approve: true }]) t.equal((await settle(DEMO_AGENT, wrong)).status, 400)
    for (let n = 0; n < 2; n++) t.match(await settle(DEMO_AGENT, wanted), { status: 200, body: { agentId: DEMO_AGENT, railwayUrl: 'https://one.example' } })
    t.match(await settle(PYTHON_AGENT, { url: 'https://two.example', approve: false }), { status: 200, body: { railwayUrl: null } })
    t.match((await request('GET', '/api/admin/railway-urls')).body, { total: 0, requests: [] })
  })

  t.test('/ready?deep=1 says whether it all adds up, and what does not, without calling the service unready', async t => {
    const deep = () => request('GET', '/ready?deep=1')
    t.match(await deep(), { status: 200, body: { status: 'ready', audit: { problems: [], total: 0, checked: { balances: 2, runs: 5 } } } })
    t.notOk('audit' in (await request('GET', '/ready')).body)
    for (const query of ['deep=x', 'deep=2', 'deep=']) t.equal((await request('GET', `/ready?${query}`)).status, 400, query)

    const dataDir = await createDataDir(t)
    const pglite = await PGlite.create(join(dataDir, 'postgres'))
    await pglite.exec(`insert into public.credit_changes (user_id, credits, kind) values ('${OTHER_USER}', 7, 'grant')`)
    await pglite.close()
    const tampered = await startService(t, { DATA_DIR: dataDir })
    t.match(await tampered.request('GET', '/ready?deep=1'), {
      status: 200,
      body: { status: 'ready', audit: { total: 1, problems: [{ kind: 'balance', userId: OTHER_USER, expected: 10, found: 3 }] } }
    })
  })
})
