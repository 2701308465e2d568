import t from 'tap'
import { hang } from '../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, DEMO_USER, OTHER_USER, startService } from '../support/helper.js'

t.test('what admins see and set in the console', async t => {
  const { request, gateway, execute } = await startService(t)
  const get = async (path: string, userId = DEMO_USER) => request('GET', path, { headers: await bearer(userId) })

  t.test('figures: what was run a day, and who has runs under way', async t => {
    await execute()
    gateway.reply = hang('half')
    const running = await request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }, headers: await bearer(OTHER_USER) })
    const { body: { days, users } } = await get('/api/admin/figures?days=7')
    t.equal(days.length, 7)
    t.match(days.at(-1), { day: new Date().toISOString().slice(0, 10), runs: 2, failed: 0, tokens: 15, credits: 1 })
    t.same(users, [{ userId: OTHER_USER, email: 'other@jeesi.local', running: 1, waiting: 0 }])
    await request('POST', `/api/admin/runs/${running.body.runId}/cancel`)
  })

  t.test('agents of everybody by their names, and the Heavy switch, which is noted', async t => {
    const { body: { agents, nextCursor } } = await get('/api/admin/agents?limit=2')
    t.equal(agents.length, 2)
    const next = await get(`/api/admin/agents?limit=2&cursor=${nextCursor}`)
    t.equal(new Set([...agents, ...next.body.agents].map(({ agentId }: any) => agentId)).size, 3)
    t.match((await get('/api/admin/agents?name=python')).body.agents, [{ name: 'Python demo agent', email: 'demo@jeesi.local', isHeavy: true }])
    t.match(await request('POST', `/api/admin/agents/${DEMO_AGENT}/heavy`, { body: { heavy: false } }), { status: 200, body: { agentId: DEMO_AGENT, isHeavy: false } })
    t.match(await request('POST', `/api/admin/agents/${OTHER_USER}/heavy`, { body: { heavy: false } }), { status: 404, body: { code: 'agent_not_found' } })
    const { body: { actions } } = await get('/api/admin/actions?limit=100')
    t.match(actions.find(({ action, details }: any) => action === 'heavy' && details.agentId === DEMO_AGENT), { adminEmail: 'demo@jeesi.local', userId: DEMO_USER, details: { heavy: false } })
  })

  t.test('actions come by pages, newest first', async t => {
    const first = (await get('/api/admin/actions?limit=2')).body
    const second = (await get(`/api/admin/actions?limit=2&cursor=${first.nextCursor}`)).body
    const ids = [...first.actions, ...second.actions].map(({ id }: any) => id)
    t.same(ids, [...ids].sort((a, b) => b - a))
    t.equal(new Set(ids).size, 4)
  })

  t.test('a cursor or a time that the database cannot read is refused before it is asked', async t => {
    for (const path of ['actions?cursor=99999999999999999999', 'retention?cursor=1e300', 'runs/changes?since=2026-99-99T00:00:00Z', 'runs/changes?since=2026-02-30T00:00:00Z', 'runs/changes?since=0000-01-01T00:00:00Z']) {
      t.match(await get(`/api/admin/${path}`), { status: 400, body: { code: 'bad_request' } }, path)
    }
    for (const path of [`actions?cursor=${Number.MAX_SAFE_INTEGER}`, 'runs/changes?since=9999-12-31T23:59:59.999999Z', 'runs/changes?since=2028-02-29T00:00:00Z']) {
      t.match(await get(`/api/admin/${path}`), { status: 200 }, path)
    }
  })

  t.test('are for admins alone', async t => {
    for (const path of ['figures', 'agents', 'actions']) t.match(await get(`/api/admin/${path}`, OTHER_USER), { status: 403, body: { code: 'forbidden' } }, path)
  })
})
