import { once } from 'node:events'
import { createInterface } from 'node:readline'
import pg from 'pg'
import t, { type Test } from 'tap'
import { say, startGateway } from '../support/doubles/gateway.js'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { BACKEND_SECRET, createPostgres, endOf, findPostgres, JWT_SECRET, openEvents, startService } from '../support/helper.js'
import { launch } from '../support/process.js'
import { until } from '../support/until.js'
import { byHand, failureOf, loadPackages, metaOf, NEWEST, runUnderWay, textOf } from './mcp-client.js'

/** Ends the leases of all runs, as if their processes had been dead for long. */
async function endLeases (connectionString: string): Promise<void> {
  const sql = new pg.Client({ connectionString })
  await sql.connect()
  await sql.query("update public.agent_workers set lease_until = now() - interval '1 minute'")
  await sql.query("update public.agent_runs set lease_until = now() - interval '1 minute' where finished_at is null")
  await sql.end()
}

async function setUp (t: Test) {
  const [database, redis, gateway] = [await createPostgres(t), await startRedis(t), await startGateway(t)]
  const shared = { SUPABASE_DB_URL: database, REDIS_URL: redis.url }
  const own = { ...shared, PORT: '0', HOST: '127.0.0.1', AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'key', SUPABASE_JWT_SECRET: JWT_SECRET, RAILWAY_BACKEND_SECRET: BACKEND_SECRET }
  const web = await startService(t, { ...shared, MAX_CONCURRENT_RUNS: '0' }, gateway.url)
  const underWay = (said: string) => runUnderWay(web, said)
  return { database, gateway, shared, own, web, underWay }
}

t.test('a call on several replicas', async t => {
  if (!await findRedis(t) || !await findPostgres(t)) return
  const packages = await loadPackages(t)

  for (const mcp of packages) {
    t.test(`whose run's process is killed in mid-answer ends with the right text for ${mcp.name}`, async t => {
      const { database, gateway, shared, own, web, underWay } = await setUp(t)
      const doomed = launch(t, 'worker.js', [], own)
      byHand(gateway, 'Hello wor')
      const client = await mcp.connect(t, web.url)
      const calling = client.call('demo_agent', 'Hi')
      const runId = await underWay('Hello wor')
      doomed.kill('SIGKILL')
      await once(doomed, 'exit')
      gateway.reply = say('Good', ' day')
      await endLeases(database)
      await startService(t, shared, gateway.url)
      const result = await calling
      t.match([textOf(result), result.isError, metaOf(result).run.runId], ['Good day', undefined, runId])
      t.match(await endOf(web, runId), { status: 'succeeded', attempt: 2, creditsCharged: 1 })
    })

    t.test(`whose own process is killed fails for ${mcp.name}, and never seems whole`, async t => {
      const { database, gateway, shared, own, web, underWay } = await setUp(t)
      const doomed = launch(t, 'server.js', [], own)
      const url = await urlOf(doomed)
      byHand(gateway, 'Hello wor')
      const client = await mcp.connect(t, url)
      const calling = failureOf(client.call('demo_agent', 'Hi', { timeout: 20_000 }))
      const runId = await underWay('Hello wor')
      doomed.kill('SIGKILL')
      const failure = await calling
      t.ok(failure instanceof Error, String(failure.message))
      gateway.reply = say('Good', ' day')
      await endLeases(database)
      await startService(t, shared, gateway.url)
      t.match(await endOf(web, runId), { status: 'succeeded', response: 'Good day' }, 'its run is made by another')
    })
  }

  t.test('is ended at the replica that makes its run when its client leaves', async t => {
    const { gateway, shared, web, underWay } = await setUp(t)
    await startService(t, shared, gateway.url)
    byHand(gateway, 'Hello ')
    const client = await NEWEST.connect(t, web.url)
    const calling = failureOf(client.call('demo_agent', 'Hi'))
    const runId = await underWay('Hello ')
    await client.close()
    await calling
    t.match(await endOf(web, runId), { status: 'cancelled' })
    await gateway.calls.at(-1)!.closed
  })

  t.test('goes on when its client leaves and somebody follows it at another replica', async t => {
    const { gateway, shared, web, underWay } = await setUp(t)
    const maker = await startService(t, shared, gateway.url)
    const finish = byHand(gateway, 'Hello ')
    const client = await NEWEST.connect(t, maker.url)
    const calling = failureOf(client.call('demo_agent', 'Hi'))
    const runId = await underWay('Hello ')
    const following = (await openEvents(web.url, runId)).body!.pipeThrough(new TextDecoderStream()).getReader()
    let told = ''
    while (!told.includes('Hello ')) told += (await following.read()).value
    await client.close()
    await calling
    t.match(await until(async () => maker.logs.find(line => line.includes('a client has left its call')), line => line !== undefined), '"goesOn":true')
    finish('world')
    t.match(await endOf(web, runId), { status: 'succeeded', response: 'Hello world' })
    await following.cancel()
  })
})

/** Where a process listens, as its log says. */
function urlOf (child: ReturnType<typeof launch>): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('exit', code => reject(new Error(`it ended with ${code}`)))
    createInterface({ input: child.stdout! }).on('line', line => {
      const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
      if (url) resolve(url.replace('localhost', '127.0.0.1'))
    })
  })
}
