import { once } from 'node:events'
import pg from 'pg'
import t from 'tap'
import { delta, ending, type GatewayDouble, hang, openStream, say, startGateway } from '../support/doubles/gateway.js'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { BACKEND_SECRET, createPostgres, endOf, findPostgres, JWT_SECRET, type Service, startService } from '../support/helper.js'
import { launch } from '../support/process.js'
import { until } from '../support/until.js'
import { loadAgUi, openClient } from './ag-ui-client.js'
import { fromNow } from './ai-sdk-client.js'
import { openPage } from './copilotkit-page.js'

/** Says the beginning, and the rest when the test says so. */
function byHand (gateway: GatewayDouble, first: string) {
  let finish = (_rest: string) => {}
  fromNow(gateway, response => {
    openStream(response).write(delta(first))
    finish = rest => { response.end(delta(rest) + ending()) }
  })
  return (rest: string) => finish(rest)
}

async function latestOf (service: Service, response?: string): Promise<string> {
  const { body: { runs: [{ runId }] } } = await until(() => service.request('GET', '/api/runs'), ({ body }) => body.runs[0]?.response === response, 60)
  return runId
}

/** The leases of dead processes end at once. */
async function endLeases (database: string): Promise<void> {
  const sql = new pg.Client({ connectionString: database })
  await sql.connect()
  await sql.query("update public.agent_workers set lease_until = now() - interval '1 minute'")
  await sql.query("update public.agent_runs set lease_until = now() - interval '1 minute' where finished_at is null")
  await sql.end()
}

t.test('a run on several replicas', async t => {
  if (!await findRedis(t) || !await findPostgres(t)) return
  const loaded = await loadAgUi(t)
  if (!loaded) return
  t.capture(console, 'error')

  t.test('is told alike at all of them, while it goes on, after its end, and after a restart', async t => {
    const [database, redis, gateway] = [await createPostgres(t), await startRedis(t), await startGateway(t)]
    const shared = { SUPABASE_DB_URL: database, REDIS_URL: redis.url }
    const web = await startService(t, { ...shared, MAX_CONCURRENT_RUNS: '0' }, gateway.url)
    const worker = await startService(t, shared, gateway.url)
    const finish = byHand(gateway, 'Hello ')
    const sdk = loaded.copilots.at(-1)!
    const page = await openPage(sdk, web, 'a thread')
    const asking = page.ask('Hi')
    await page.shows('Hello ')
    const there = await openPage(sdk, worker, 'a thread')
    const connecting = there.connect()
    await there.shows('Hello ')
    finish('world')
    await Promise.all([asking, connecting])
    await redis.client.flushall()
    const later = await openPage(sdk, await startService(t, shared, gateway.url), 'a thread')
    await later.connect()
    for (const { text, messages, errors } of [page, there, later]) t.match([text, messages.length, errors], ['Hello world', 2, []])
  })

  for (const sdk of loaded.sdks) {
    t.test(`whose process is killed in mid-answer ends right for version ${sdk.version}, and for a page that connects meanwhile`, async t => {
      const [database, redis, gateway] = [await createPostgres(t), await startRedis(t), await startGateway(t)]
      const shared = { SUPABASE_DB_URL: database, REDIS_URL: redis.url }
      const web = await startService(t, { ...shared, MAX_CONCURRENT_RUNS: '0' }, gateway.url)
      const doomed = launch(t, 'worker.js', [], {
        ...shared, PORT: '0', HOST: '127.0.0.1', AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'key', SUPABASE_JWT_SECRET: JWT_SECRET, RAILWAY_BACKEND_SECRET: BACKEND_SECRET
      })
      byHand(gateway, 'Hello wor')
      const client = openClient(sdk, web.url, { threadId: 'a thread' })
      const running = client.run('Hi')
      await client.shows('Hello wor')
      const runId = await latestOf(web, 'Hello wor')
      const page = await openPage(loaded.copilots.at(-1)!, web, 'a thread')
      const connecting = page.connect()
      await page.shows('Hello wor')
      doomed.kill('SIGKILL')
      await once(doomed, 'exit')
      gateway.reply = say('Good', ' day')
      await endLeases(database)
      await startService(t, shared, gateway.url)
      const { error, failure, finish } = await running
      await connecting
      t.same([error, failure, client.text, client.messages.length], [undefined, undefined, 'Good day', 2])
      t.match(finish, { type: 'RUN_FINISHED' })
      t.match([page.text, page.errors], ['Good day', []])
      t.match(await endOf(web, runId), { status: 'succeeded', attempt: 2, creditsCharged: 1 })
    })
  }
})

t.test('a client whose own process is replaced in mid-answer has an error, and a page that connects anew has the answer', async t => {
  if (!await findPostgres(t)) return
  const loaded = await loadAgUi(t)
  if (!loaded) return
  t.capture(console, 'error')
  const [database, gateway] = [await createPostgres(t), await startGateway(t)]
  const shared = { SUPABASE_DB_URL: database }
  const next = await startService(t, shared, gateway.url)
  for (const sdk of loaded.sdks) {
    const replaced = await startService(t, shared, gateway.url)
    fromNow(gateway, hang('half'), say('half', ' and half'))
    const client = openClient(sdk, replaced.url, { threadId: sdk.version })
    const running = client.run('Hi', { runId: 'one' })
    await client.shows('half')
    await replaced.app.close()
    const { error, failure, finish } = await running
    t.match([error, failure, finish], [undefined, { code: 'connection_ended' }, undefined], 'half an answer is no whole one')
    const page = await openPage(loaded.copilots[0]!, next, sdk.version)
    await page.connect()
    t.match([page.text, page.errors], ['half and half', []])
    const again = openClient(sdk, next.url, { threadId: sdk.version, initialMessages: client.messages.slice(0, 1) })
    t.equal((await again.run(undefined, { runId: 'one' })).error, undefined)
    t.equal(again.text, 'half and half', 'who sends the same run again joins it')
  }
})
