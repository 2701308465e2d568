import pg from 'pg'
import t, { type Test } from 'tap'
import { delta, ending, openStream, say } from '../support/doubles/gateway.js'
import { type Cluster, createCluster } from '../support/doubles/postgres-cluster.js'
import { bearer, DEMO_AGENT, DEMO_USER, openEvents, OTHER_USER, readStream, type Service, startService } from '../support/helper.js'

/** What a database may do to a service, on a server of these tests' own. */

const BODY = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }
const UNAVAILABLE = { status: 503, body: { code: 'database_unavailable' } }
const LEASE_SECONDS = 6

/** A service on a database of its own, and SQL on that. */
async function start (t: Test, cluster: Cluster, variables: Record<string, string> = {}, database?: string) {
  const url = database ?? await cluster.createDatabase()
  const service = await startService(t, { SUPABASE_DB_URL: url, ...variables })
  return {
    service,
    sql: (text: string) => cluster.query(text, new URL(url).pathname.slice(1)),
    told: () => service.logs.map(line => JSON.parse(line)).filter(({ message }) =>
      /^waiting for the database|^the database (is there|could not)/.test(message)).map(({ message }) => message as string)
  }
}

/** A run that has begun to speak, and ends when it is told to. */
async function beginRun ({ gateway, request, url }: Service, userId = DEMO_USER) {
  let finish = () => {}
  gateway.reply = response => {
    openStream(response).write(delta('Hel'))
    finish = () => response.end(delta('lo') + ending())
  }
  const arriving = gateway.nextCall()
  const headers = await bearer(userId)
  const { body: run } = await request('POST', '/api/agent/execute', { body: { ...BODY, background: true }, headers })
  await arriving
  gateway.reply = say('Hello world')
  const reading = await openEvents(url, run.runId, '', headers)
  return { runId: run.runId as string, finish: () => finish(), told: readStream(reading) }
}

/** That a run has ended as if nothing had been. */
async function isExact (t: Test, { sql }: Pick<Awaited<ReturnType<typeof start>>, 'sql'>, run: Awaited<ReturnType<typeof beginRun>>): Promise<void> {
  const { text, events } = await run.told
  t.equal(text, 'Hello')
  t.match(events.at(-1), { type: 'done', response: 'Hello', creditsUsed: 1 })
  t.same(await sql(`select status, attempt, credits_charged from public.agent_runs where id = '${run.runId}'`),
    [{ status: 'succeeded', attempt: 1, credits_charged: 1 }])
  t.same(await sql(`select credits_used from public.credit_usage where run_id = '${run.runId}'`), [{ credits_used: 1 }], 'charged once')
  t.same(await sql('select from public.credit_balances where credits_reserved <> 0'), [], 'nothing stays reserved')
}

/** Asks until the answer is as it should be; each answer is of the state of that moment. */
async function until (ask: () => Promise<boolean>): Promise<void> {
  while (!await ask()) await new Promise(resolve => setImmediate(resolve))
}

t.test('a database that', async t => {
  const cluster = await createCluster(t)
  if (!cluster) return

  t.test('crashes under a run and comes back: the run goes on, and is charged once', async t => {
    const started = await start(t, cluster)
    const { service, told } = started
    const run = await beginRun(service)
    await cluster.stop('immediate')
    t.match(await service.request('POST', '/api/agent/execute', { body: BODY }), UNAVAILABLE)
    t.match(await service.request('GET', '/ready'), { status: 503, body: { database: 'down' } })
    run.finish()
    await cluster.start()
    await isExact(t, started, run)
    await until(async () => told().length >= 2)
    t.match(told(), [/^waiting for the database: /, /^the database is there$/], 'one line when it goes, one when it is back')
    t.equal(told().length, 2)
    t.match(await service.request('GET', '/ready'), { status: 200, body: { database: 'up' } })
  })

  t.test('is restarted while nothing is asked of it: its connections are replaced', async t => {
    const { service, sql, told } = await start(t, cluster)
    await Promise.all(Array.from({ length: 10 }, () => service.credits()))
    await cluster.stop('fast')
    await cluster.start()
    t.equal((await sql('select from pg_stat_activity where datname = current_database()')).length, 1)
    await until(async () => (await service.request('GET', '/ready')).status === 200)
    const answers = await Promise.all(Array.from({ length: 10 }, () => service.request('GET', '/api/credits')))
    t.same(answers.map(({ status }) => status), Array(10).fill(200))
    t.equal((await service.execute()).text, 'Hello world')
    t.ok(told().length <= 2, 'and not a line a connection', { told: told() })
  })

  t.test('becomes read-only refuses runs, is not ready, and ends the run under way when it can be written to', async t => {
    const started = await start(t, cluster)
    const { service, told } = started
    const run = await beginRun(service)
    await cluster.set('default_transaction_read_only', 'on')
    t.teardown(() => cluster.set('default_transaction_read_only', null))
    t.match(await service.request('POST', '/api/agent/execute', { body: BODY }), UNAVAILABLE)
    t.match(await service.request('GET', '/ready'), { status: 503, body: { status: 'not_ready', database: 'down' } })
    t.match(await service.request('GET', `/api/runs/${run.runId}`), { status: 200, body: { response: 'Hel' } }, 'what it has can be read')
    const refused = cluster.nextLine(/STATEMENT: .*finish_run/)
    run.finish()
    await refused
    await cluster.set('default_transaction_read_only', null)
    await isExact(t, started, run)
    await until(async () => told().length >= 2)
    t.same(told(), ['waiting for the database: it can be read only: it is a standby, or default_transaction_read_only is on', 'the database is there'])
    t.match(await service.request('GET', '/ready'), { status: 200 })
  })

  t.test('has one balance locked: a pool full of calls that wait for it refuses others in time, and loses no run', async t => {
    const started = await start(t, cluster, { SUPABASE_DB_POOL_MAX: '2' })
    const { service, sql } = started
    const run = await beginRun(service, OTHER_USER)
    const holder = new pg.Client({ connectionString: service.config.database.kind === 'postgres' ? service.config.database.url : '' })
    await holder.connect()
    t.teardown(() => holder.end())
    await holder.query(`begin; select from public.credit_balances where user_id = '${DEMO_USER}' for update`)
    const since = performance.now()
    const waiting = Array.from({ length: 4 }, () => service.request('POST', '/api/agent/execute', { body: BODY }))
    await until(async () => (await sql('select from pg_stat_activity where datname = current_database() and wait_event_type = \'Lock\'')).length === 2)
    const other = service.request('GET', '/api/credits', { headers: await bearer(OTHER_USER) })
    t.match(await service.request('GET', '/ready'), { status: 200, body: { database: 'up' } }, 'a full pool is no database that is away')
    const answers = await Promise.all([...waiting, other])
    // At the most the pool's five seconds, and the call's fifteen.
    t.ok(performance.now() - since < 21_000)
    for (const answer of answers.slice(0, 4)) t.match(answer, UNAVAILABLE)
    const [lease] = await sql('select extract(epoch from max(lease_until) - now())::float as seconds from public.agent_workers')
    t.ok(lease!.seconds > LEASE_SECONDS - 2, `the process was heard of: ${lease!.seconds} s of its lease are left`)
    await holder.query('rollback')
    run.finish()
    await isExact(t, started, run)
    t.equal((await service.execute()).text, 'Hello world')
    t.match(await service.credits(), { creditsRemaining: 99, creditsReserved: 0, creditsUsedThisMonth: 1 })
  })

  t.test('ends statements that take too long: the caller may try again, and a settlement is', async t => {
    const url = await cluster.createDatabase()
    const name = new URL(url).pathname.slice(1)
    await cluster.query(`alter database ${name} set statement_timeout = '200ms'`)
    const started = await start(t, cluster, {}, url)
    const { service } = started
    const run = await beginRun(service)
    const holder = new pg.Client({ connectionString: url })
    await holder.connect()
    t.teardown(() => holder.end())
    await holder.query(`set statement_timeout = 0; begin; select from public.credit_balances where user_id = '${DEMO_USER}' for update`)
    t.match(await service.request('POST', '/api/agent/execute', { body: BODY }), UNAVAILABLE)
    const refused = cluster.nextLine(/STATEMENT: .*finish_run/)
    run.finish()
    await refused
    await holder.query('rollback')
    await isExact(t, started, run)
  })
})
