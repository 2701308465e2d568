import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t, { type Test } from 'tap'
import { delta, ending, hang, openStream, say } from '../support/doubles/gateway.js'
import { startPostgrest } from '../support/doubles/postgrest.js'
import { bearer, createDataDir, DEMO_AGENT, endOf, openEvents, readStream, startService } from '../support/helper.js'

const KEY = 'service-role-key'

/** A service whose database does to each call what the test wants: lets it pass, refuses it, or loses its answer. */
async function startWithBadDatabase (t: Test) {
  const pglite = await PGlite.create(join(await createDataDir(t), 'postgres'))
  const weather = {
    now: 'fair' as 'fair' | 'down' | 'losing answers',
    refusals: 0,
    onRefusal: () => {},
    onCall: (_text: string) => {},
    /** As if more time than a lease had passed. */
    async forget () {
      await pglite.exec('delete from public.agent_workers; update public.agent_runs set lease_until = now() - interval \'1 second\'')
    }
  }
  const outage = () => {
    weather.refusals++
    weather.onRefusal()
    return Object.assign(new Error('terminating connection due to administrator command'), { code: '57P01' })
  }
  const sql = {
    async query (text: string, values: unknown[]) {
      if (weather.now === 'down') throw outage()
      const { rows } = await pglite.query<Record<string, unknown>>(text, values)
      weather.onCall(text)
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

t.test('many runs whose ends fall into a time without database are told and charged after it, and nothing is said of how many', async t => {
  const { service, weather, ledger } = await startWithBadDatabase(t)
  const { gateway, request } = service
  const warnings: Error[] = []
  const listen = (warning: Error) => { warnings.push(warning) }
  process.on('warning', listen)
  t.teardown(() => process.off('warning', listen))
  const answers: Array<() => void> = []
  const all = new Promise<void>(resolve => {
    gateway.reply = response => {
      openStream(response).write(delta('Hel'))
      if (answers.push(() => response.end(delta('lo') + ending())) === 12) resolve()
    }
  })
  const runs = await Promise.all(Array.from({ length: 12 }, () => request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  })))
  await all
  weather.now = 'down'
  const refused = new Promise<void>(resolve => {
    weather.onRefusal = () => { if (weather.refusals >= 3 * 12) resolve() }
  })
  for (const end of answers) end()
  await refused
  weather.now = 'fair'
  for (const { body: { runId } } of runs) t.match(await endOf(service, runId), { status: 'succeeded', attempt: 1, creditsCharged: 1 })
  t.equal((await ledger()).length, 12)
  t.strictSame(warnings, [])
})

t.test('a run that began by an answer that never arrived is found, and ends', async t => {
  const { service, weather, ledger } = await startWithBadDatabase(t)
  const { gateway, request } = service
  const body = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  // One run keeps the process alive in the eyes of the database.
  gateway.reply = hang('Hel')
  const arriving = gateway.nextCall()
  const { body: busy } = await request('POST', '/api/agent/execute', { body })
  await arriving
  gateway.reply = say('Hello')
  const found = gateway.nextCall()
  weather.now = 'losing answers'
  const once = { authorization: (await bearer()).authorization!, 'idempotency-key': 'once' }
  t.match(await request('POST', '/api/agent/execute', { body, headers: once }), { status: 503 })
  weather.now = 'fair'
  await found
  const { body: joined } = await request('POST', '/api/agent/execute', { body: { ...body, background: false, stream: false }, headers: once })
  t.match(joined, { response: 'Hello', creditsUsed: 1 })
  t.equal(gateway.calls.length, 2)
  t.match(await request('POST', `/api/runs/${busy.runId}/cancel`), { body: { status: 'cancelled', attempt: 1 } })
  t.same(await ledger(), [{ credits_used: 1 }, { credits_used: 1 }])
})

t.test('after a time without database a process goes on with its own runs, and begins none of them anew', async t => {
  const { service, weather } = await startWithBadDatabase(t)
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
  weather.now = 'down'
  await weather.forget()
  const refused = new Promise<void>(resolve => { weather.onRefusal = resolve })
  await refused
  weather.now = 'fair'
  const looked = new Promise<void>(resolve => { weather.onCall = text => { if (text.includes('claim_runs')) resolve() } })
  await looked
  finish()
  t.match((await readStream(reading)).events.at(-1), { type: 'done', response: 'Hello' })
  t.match(await request('GET', `/api/runs/${run.runId}`), { body: { status: 'succeeded', attempt: 1 } })
  t.equal(gateway.calls.length, 1)
})

t.test('a run whose begin is answered to nobody is begun again, and made once', async t => {
  const { service, weather, ledger } = await startWithBadDatabase(t)
  const { gateway, request } = service
  const body = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false }
  let lost = 0
  weather.onCall = text => {
    if (text.includes('begin_run')) weather.now = ++lost < 3 ? 'losing answers' : 'fair'
  }
  t.match(await request('POST', '/api/agent/execute', { body }), { status: 200, body: { response: 'Hello world', creditsUsed: 1 } })
  t.equal(lost, 3)
  t.equal(gateway.calls.length, 1)
  t.same(await ledger(), [{ credits_used: 1 }])
})

t.test('while the database is down a new run is refused with 503, and begins when it is back', async t => {
  const { service, weather } = await startWithBadDatabase(t)
  weather.now = 'down'
  const body = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], stream: false }
  t.match(await service.request('POST', '/api/agent/execute', { body }), { status: 503, body: { code: 'database_unavailable', retryAfter: 5 } })
  t.match(await service.request('GET', '/ready'), { status: 503, body: { database: 'down' } })
  t.match(await service.request('GET', '/health'), { status: 200 })
  weather.now = 'fair'
  t.match(await service.request('POST', '/api/agent/execute', { body }), { status: 200, body: { response: 'Hello world' } })
  t.match(await service.request('GET', '/ready'), { status: 200, body: { database: 'up' } })
})
