import pg from 'pg'
import t, { type Test } from 'tap'
import { delta, ending, type GatewayDouble, openStream, say, startGateway } from '../support/doubles/gateway.js'
import { findRedis, type RedisServer, startRedis } from '../support/doubles/redis-server.js'
import { createPostgres, DEMO_AGENT, DEMO_USER, endOf, findPostgres, openEvents, readStream, type Service, startService, typesOf } from '../support/helper.js'
import { until } from '../support/until.js'

interface Fleet { services: Service[], gateway: GatewayDouble, redis: RedisServer, sql: pg.Client }

/** So many processes, each of which executes runs, with one PostgreSQL, one Redis and one gateway. */
async function startFleet (t: Test, count: number, variables: Record<string, string> = {}): Promise<Fleet> {
  const [url, redis, gateway] = [await createPostgres(t), await startRedis(t), await startGateway(t)]
  const services: Service[] = []
  while (services.length < count) services.push(await startService(t, { SUPABASE_DB_URL: url, REDIS_URL: redis.url, ...variables }, gateway.url))
  const sql = new pg.Client({ connectionString: url })
  await sql.connect()
  sql.on('error', () => {})
  t.teardown(() => sql.end())
  return { services, gateway, redis, sql }
}

async function begin ({ request }: Service): Promise<string> {
  const { status, body } = await request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  })
  if (status !== 202) throw new Error(JSON.stringify(body))
  return body.runId
}

t.test('runs beside Redis that need not wait', async t => {
  if (!await findRedis(t) || !await findPostgres(t)) return

  t.test('a run is made where it begins, with one call of the database and none of the queue', async t => {
    const { services, gateway, redis, sql } = await startFleet(t, 2)
    const answers: Array<() => void> = []
    gateway.reply = response => {
      openStream(response)
      answers.push(() => response.end(delta('x') + ending()))
    }
    const runIds: string[] = []
    for (const service of services) {
      const arriving = gateway.nextCall()
      runIds.push(await begin(service))
      await arriving
    }
    t.same(services.map(({ app }) => runIds.map(runId => app.executor.progressOf(runId) !== undefined)), [[true, false], [false, true]])
    const { rows } = await sql.query('select attempt, status, owner is not null as owned, started_at = created_at as "atOnce" from public.agent_runs')
    t.same(rows, Array(2).fill({ attempt: 1, status: 'running', owned: true, atOnce: true }))
    for (const answer of answers) answer()
    for (const runId of runIds) t.match(await endOf(services[0]!, runId), { status: 'succeeded', attempt: 1, creditsCharged: 1 })
    t.equal(await redis.client.exists('jeesi:runs:id'), 0, 'there was no job')
  })

  t.test('of a user at their limit who asks three replicas at once, no more runs are under way anywhere, and the others follow at once', async t => {
    const { services, gateway, sql } = await startFleet(t, 3, { MAX_RUNS_PER_USER: '2', MAX_CONCURRENT_RUNS: '6' })
    let [open, most] = [0, 0]
    const answers: Array<() => void> = []
    gateway.reply = response => {
      openStream(response)
      most = Math.max(most, ++open)
      answers.push(() => {
        open--
        response.end(delta('x') + ending())
      })
    }
    const runIds = await Promise.all(Array.from({ length: 12 }, (_, index) => begin(services[index % 3]!)))
    await until(async () => answers.length, count => count === 2)
    const { rows: [{ count }] } = await sql.query('select count(*)::int from public.agent_runs where status = \'running\' and owner is not null and user_id = $1', [DEMO_USER])
    t.equal(count, 2)
    for (let ended = 0; ended < 12; ended++) {
      await until(async () => answers.length, length => length > ended)
      answers[ended]!()
    }
    for (const runId of runIds) t.match(await endOf(services[0]!, runId), { status: 'succeeded', attempt: 1 })
    t.equal(most, 2)
    t.match(await services[0]!.credits(), { creditsRemaining: 88, creditsReserved: 0 })
  })

  t.test('a replica that dies after it has begun a run, before its first event, loses none: another makes it when its lease ends', async t => {
    const { services: [first, second], gateway } = await startFleet(t, 2) as Fleet & { services: [Service, Service] }
    const { database } = first.app
    const { call } = database
    const begun = new Promise<string>(resolve => {
      // The answer never comes, and nothing is known here that a heartbeat would renew.
      database.call = (async (fn: Parameters<typeof call>[0], ...args: []) => {
        const result = await call.call(database, fn, ...args) as { run: { runId: string } }
        if (fn !== 'begin_run') return result
        resolve(result.run.runId)
        return new Promise(() => {})
      }) as typeof call
    })
    const asked = first.request('POST', '/api/agent/execute', {
      body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
    }).catch(() => {})
    const runId = await begun
    gateway.reply = say('Hello')
    const told = await readStream(await openEvents(second.url, runId))
    t.match(told.events.find(({ type }) => type === 'started'), { attempt: 2 })
    t.equal(typesOf(told).at(-1), 'done')
    t.match(await endOf(second, runId), { status: 'succeeded', attempt: 2, creditsCharged: 1 })
    t.equal(gateway.calls.length, 1)
    await first.app.close()
    await asked
  })

  t.test('a run that waits for a slot goes before one that begins later, wherever that begins', async t => {
    const { services: [first, second], gateway, redis, sql } = await startFleet(t, 2, { MAX_CONCURRENT_RUNS: '1' }) as Fleet & { services: [Service, Service] }
    const answers: Array<() => void> = []
    gateway.reply = response => {
      openStream(response)
      answers.push(() => response.end(delta('x') + ending()))
    }
    const runIds: string[] = []
    for (const service of [first, second, first, second, first, second]) {
      runIds.push(await begin(service))
      await until(() => redis.client.zcard('jeesi:runs:prioritized'), count => count === Math.max(0, runIds.length - 2))
    }
    // One slot is freed at a time: two claims at once may overtake each other.
    for (let ended = 0; ended < 6; ended++) {
      await until(async () => answers.length, length => length === Math.min(6, ended + 2))
      answers[ended]!()
    }
    for (const runId of runIds) await endOf(first, runId)
    const { rows } = await sql.query('select id from public.agent_runs order by started_at')
    // A process without a slot may hold the first job for a moment before it gives it back.
    const order = rows.map(({ id }) => runIds.indexOf(id))
    t.ok(order.every((begun, place) => Math.abs(begun - place) <= 1), String(order))
  })
})
