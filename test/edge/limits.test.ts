import t from 'tap'
import { say } from '../support/doubles/gateway.js'
import { findDeno, HEAVY, SIMPLE_AGENT, startWorld } from '../support/edge.js'
import { bearer, DEMO_AGENT, DEMO_USER } from '../support/helper.js'

t.test('the limits of a plan hold in the edge function and the service together', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const { project, edge, gateway, service } = await startWorld(t, deno)
  gateway.reply = service.gateway.reply = say('Hello')
  await project.query("update public.credit_balances set plan_type = 'free' where user_id = $1", [DEMO_USER])
  const limited = { error: 'Your plan allows 5 runs a minute: try again in a minute.', code: 'plan_limit_reached', retryAfter: 60 }

  t.test('runs of both count, and those beyond are 429 in both, with the seconds to wait in header and body', async t => {
    for (let i = 0; i < 2; i++) t.equal((await edge.execute()).text, 'Hello')
    t.equal((await edge.execute(HEAVY)).text, 'Hello', 'forwarded, which execute-validated does not count again')
    for (let i = 0; i < 2; i++) t.equal((await service.execute({ agentId: SIMPLE_AGENT })).text, 'Hello')
    const before = await project.balance()
    for (const body of [{ agentId: SIMPLE_AGENT }, HEAVY]) {
      const response = await edge.open(body)
      t.equal(response.status, 429)
      t.equal(response.headers.get('retry-after'), '60')
      t.match(await response.json(), limited)
      const ofService = await service.request('POST', '/api/agent/execute', { body: { messages: [{ role: 'user', content: 'Hi' }], ...body } })
      t.match(ofService, { status: 429, body: limited })
      t.equal(ofService.headers.get('retry-after'), '60')
    }
    t.same(await project.balance(), before)
    await project.query("update public.credit_usage set created_at = now() - interval '61 seconds' where user_id = $1", [DEMO_USER])
    t.equal((await edge.execute()).text, 'Hello')
  })

  t.test('an hour is told as the platform always has', async t => {
    await project.query(`insert into public.credit_usage (user_id, credits_used, operation_type, created_at)
      select $1, 1, 'agent_chat', now() - interval '10 minutes' from generate_series(1, 50)`, [DEMO_USER])
    const response = await edge.open()
    t.equal(response.headers.get('retry-after'), '3600')
    t.match(await response.json(), { code: 'plan_limit_reached', retryAfter: 3600 })
  })
})

t.test('the railway_url that an owner asks for is not used until an admin has approved it', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const { project, edge, service } = await startWorld(t, deno)
  service.gateway.reply = say('Hello')
  await project.query('update public.agents set railway_url_requested = $1 where id = $2', ['https://evil.example', DEMO_AGENT])

  t.test('the platform\'s backend runs the agent, and the log says once what waits', async t => {
    const logged = edge.nextLog('waits for an admin')
    t.equal((await edge.execute(HEAVY)).text, 'Hello')
    t.match(JSON.parse(await logged), { level: 'info', agentId: DEMO_AGENT })
    t.equal((await edge.execute(HEAVY)).text, 'Hello')
    t.equal(edge.logs.filter(line => line.includes('waits for an admin')).length, 1)
    t.notMatch(edge.logs.join(), /evil\.example/)
  })

  t.test('once approved it is', async t => {
    const headers = await bearer()
    const { body } = await service.request('GET', '/api/admin/railway-urls', { headers })
    t.match(body.requests, [{ agentId: DEMO_AGENT, requestedUrl: 'https://evil.example' }])
    await service.request('POST', `/api/admin/agents/${DEMO_AGENT}/railway-url`, { headers, body: { url: 'https://evil.example', approve: false } })
    await project.query('update public.agents set railway_url_requested = $1 where id = $2', [`${service.url}/`, DEMO_AGENT])
    t.match(await service.request('POST', `/api/admin/agents/${DEMO_AGENT}/railway-url`, { headers, body: { url: `${service.url}/`, approve: true } }),
      { status: 200, body: { agentId: DEMO_AGENT, railwayUrl: `${service.url}/` } })
    t.equal((await edge.execute(HEAVY)).text, 'Hello')
  })
})
