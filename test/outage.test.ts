import t, { type Test } from 'tap'
import { PGlite } from '@electric-sql/pglite'
import { join } from 'node:path'
import { delta, ending, openStream } from './doubles/gateway.js'
import { startPostgrest } from './doubles/postgrest.js'
import { createDataDir, DEMO_AGENT, openEvents, readStream, startService } from './helper.js'

const KEY = 'service-role-key'

/** A service whose database does to each call what the test wants: lets it pass, refuses it, or loses its answer. */
async function startWithBadDatabase (t: Test) {
  const pglite = await PGlite.create(join(await createDataDir(t), 'postgres'))
  const weather = { now: 'fair' as 'fair' | 'down' | 'losing answers', refusals: 0, onRefusal: () => {} }
  const outage = () => {
    weather.refusals++
    weather.onRefusal()
    return Object.assign(new Error('terminating connection due to administrator command'), { code: '57P01' })
  }
  const sql = {
    async query (text: string, values: unknown[]) {
      if (weather.now === 'down') throw outage()
      const { rows } = await pglite.query<Record<string, unknown>>(text, values)
      if (weather.now === 'losing answers') throw outage()
      return rows
    }
  }
  const service = await startService(t, { SUPABASE_URL: await startPostgrest(t, sql, KEY), SUPABASE_SERVICE_ROLE_KEY: KEY })
  t.teardown(() => pglite.close())
  const ledger = async () => (await pglite.query('select credits_used from public.credit_usage')).rows
  return { service, weather, ledger }
}

for (const storm of ['down', 'losing answers'] as const) {
  t.test(`a run whose end falls into a time of a database that is ${storm} is told and charged once it is written`, async t => {
    const { service, weather, ledger } = await startWithBadDatabase(t)
    const { gateway, request, url } = service
    let finish = () => {}
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      finish = () => response.end(delta('lo') + ending())
    }
    const arriving = gateway.nextCall()
    const { body: run } = await request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
    })
    await arriving
    const reading = await openEvents(url, run.runId)
    weather.now = storm
    const refusedTwice = new Promise<void>(resolve => {
      weather.onRefusal = () => { if (weather.refusals >= 3) resolve() }
    })
    finish()
    await refusedTwice
    if (storm === 'down') t.same(await ledger(), [], 'nothing is written')
    t.match(await request('GET', '/api/credits'), { status: 503, body: { code: 'database_unavailable' } })
    weather.now = 'fair'

    const told = await readStream(reading)
    t.equal(told.text, 'Hello')
    t.match(told.events.at(-1), { type: 'done', creditsUsed: 1 })
    t.same(await ledger(), [{ credits_used: 1 }], 'charged once')
    t.match(await service.credits(), { creditsRemaining: 99, creditsReserved: 0 })
  })
}

t.test('while the database is down a new run is refused with 503, and begins when it is back', async t => {
  const { service, weather } = await startWithBadDatabase(t)
  weather.now = 'down'
  const body = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false }
  t.match(await service.request('POST', '/api/agent/execute', { body }), { status: 503, body: { code: 'database_unavailable' } })
  t.match(await service.request('GET', '/ready'), { status: 503, body: { database: 'down' } })
  t.match(await service.request('GET', '/health'), { status: 200 })
  weather.now = 'fair'
  t.match(await service.request('POST', '/api/agent/execute', { body }), { status: 200, body: { response: 'Hello world' } })
  t.match(await service.request('GET', '/ready'), { status: 200, body: { database: 'up' } })
})
