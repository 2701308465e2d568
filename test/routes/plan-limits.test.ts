import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t from 'tap'
import { bearer, createDataDir, DEMO_AGENT, DEMO_KEY, DEMO_USER, OTHER_USER, startService } from '../support/helper.js'
import { execution, login } from '../support/socket-client.js'

t.test('the limits of a plan over every way in', async t => {
  const dataDir = await createDataDir(t)
  const pglite = await PGlite.create(join(dataDir, 'postgres'))
  t.same((await pglite.query('select distinct plan_type from public.credit_balances')).rows, [{ plan_type: 'demo' }], 'the seed\'s users have the plan without limits')
  await pglite.exec(`update public.credit_balances set plan_type = 'basic' where user_id = '${DEMO_USER}'`)
  await pglite.close()
  const service = await startService(t, { DATA_DIR: dataDir })
  for (let i = 0; i < 5; i++) await service.execute()
  const before = await service.credits()
  const body = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }
  const limited = { error: 'Your plan allows 5 runs a minute: try again in a minute.', code: 'plan_limit_reached', statusCode: 429, retryAfter: 60 }

  t.test('a stream that is refused is no stream, and the answer says how long to wait', async t => {
    for (const more of [{}, { stream: false }, { background: true }]) {
      for (const headers of [await bearer(), { 'x-api-key': DEMO_KEY }]) {
        const answer = await service.request('POST', '/api/agent/execute', { body: { ...body, ...more }, headers: headers as Record<string, string> })
        t.match(answer, { status: 429, body: limited })
        t.equal(answer.headers.get('retry-after'), '60')
      }
    }
    t.same(await service.credits(), before)
  })

  t.test('a message of a WebSocket is answered, and its connection stays', async t => {
    const client = await login(t, service)
    client.send(execution({ requestId: 'mine' }))
    t.match(await client.next('agent_execution_error'), { code: 'plan_limit_reached', error: limited.error, retryAfter: 60, requestId: 'mine' })
    client.send({ type: 'ping' })
    await client.next('pong')
  })

  t.test('others are not touched', async t => {
    for (let i = 0; i < 3; i++) t.equal((await service.execute({}, await bearer(OTHER_USER))).text, 'Hello world')
  })
})
