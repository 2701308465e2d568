import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import t, { type Test } from 'tap'
import { hang, say, startGateway } from '../support/doubles/gateway.js'
import { startPostgrest } from '../support/doubles/postgrest.js'
import {
  bearer, createDataDir, createPostgres, DEMO_AGENT, DEMO_USER, findPostgres, OTHER_USER, type Service, startService,
  UNPUBLISHED_AGENT
} from '../support/helper.js'
import { respond as answer, startServer } from '../support/tools.js'

const KEY = 'service-role-key'

interface Row { id: string, status: string, result: string | null, error: string | null, generated_content: string | null, error_message: string | null, output_result: unknown, credits_used: number, agent_id: string, user_id: string, scheduled_for: Date | null, completed_at: Date | null, run_id: string | null, request: object | null, delivery_status: string | null, delivery_tries: number, delivery_at: Date | null }

interface Place {
  sql (text: string, values?: unknown[]): Promise<any[]>
  variables: Record<string, string>
  /** The services beside it. */
  services: Service[]
}

/** A database, reached as Supabase is, that services can share. */
async function openShared (t: Test): Promise<Place> {
  const pglite = await PGlite.create(join(await createDataDir(t), 'postgres'))
  const sql = async (text: string, values: unknown[] = []) => (await pglite.query<Record<string, unknown>>(text, values)).rows
  const url = await startPostgrest(t, { query: sql }, KEY)
  t.teardown(() => pglite.close())
  return { sql, services: [], variables: { SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: KEY, SCHEDULES: 'on', ALLOW_PRIVATE_TOOL_HOSTS: '127.0.0.1' } }
}

async function openPostgres (t: Test): Promise<Place> {
  const url = await createPostgres(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  return { sql: async (text, values = []) => (await client.query(text, values)).rows, services: [], variables: { SUPABASE_DB_URL: url, SUPABASE_DB_POOL_MAX: '4', SCHEDULES: 'on' } }
}

async function start (t: Test, place: Place, variables: Record<string, string> = {}): Promise<Service> {
  const service = await startService(t, { ...place.variables, ...variables }, await startGateway(t, say('Good morning')))
  place.services.push(service)
  return service
}

/** A schedule of the demo user's, as the frontend writes it. */
async function addSchedule ({ sql }: Place, fields: Record<string, unknown> = {}): Promise<string> {
  const row: Record<string, unknown> = { user_id: DEMO_USER, agent_id: DEMO_AGENT, is_enabled: true, cron_expression: '0 9 * * *', prompt_template: 'Hello', ...fields }
  const names = Object.keys(row)
  const [added] = await sql(`insert into public.agent_schedules (${names.join(', ')}) values (${names.map((_, i) => `$${i + 1}`).join(', ')}) returning id`, Object.values(row))
  return added.id
}

/** Plans what is new, and lets a schedule be due since so many seconds. */
async function makeDue ({ sql }: Place, service: Service, id: string, seconds = 1): Promise<void> {
  await service.app.schedules.look()
  await sql('update public.agent_schedules set next_run_at = date_trunc(\'milliseconds\', now() - make_interval(secs => $2)) where id = $1', [id, seconds])
}

function rowsOf ({ sql }: Place, id: string): Promise<Row[]> {
  return sql('select * from public.scheduled_runs where schedule_id = $1 order by started_at', [id])
}

/** The rows of a schedule once so many of them are over; until then the services look, as they do by themselves, and sooner. */
async function overOf (place: Place, id: string, count = 1, is = (row: Row) => row.completed_at !== null): Promise<Row[]> {
  for (;;) {
    const rows = await rowsOf(place, id)
    if (rows.filter(is).length >= count) return rows
    await Promise.all(place.services.filter(({ app }) => !app.isDraining()).map(({ app }) => app.schedules.look()))
  }
}

const OPEN: Array<[string, (t: Test) => Promise<Place | undefined>]> = [
  ['Supabase', openShared],
  ['PostgreSQL', async t => await findPostgres(t) ? openPostgres(t) : undefined]
]

for (const [name, open] of OPEN) {
  t.test(`schedules on ${name}`, async t => {
    t.test('one that is due is fired once beside two services, as a run of its user that is charged', async t => {
      const place = await open(t)
      if (!place) return
      const services = [await start(t, place), await start(t, place)]
      const id = await addSchedule(place, { prompt_template: 'It is {{weekday}}, {{ date }} {{time}} in {{timezone}} {{unknown}}', timezone: 'Asia/Tokyo' })
      const before = await services[0]!.credits()
      await services[0]!.app.schedules.look()
      const [planned] = await place.sql('select next_run_at, unplanned_since from public.agent_schedules where id = $1', [id])
      t.equal(planned.next_run_at.toISOString().slice(10), 'T00:00:00.000Z', 'nine in Tokyo')
      t.equal(planned.unplanned_since, null)
      await makeDue(place, services[0]!, id)
      await Promise.all(services.map(({ app }) => app.schedules.look()))
      const [row, ...more] = await overOf(place, id)
      t.match(row, {
        status: 'completed',
        result: 'Good morning',
        error: null,
        request: null,
        delivery_status: null,
        agent_id: DEMO_AGENT,
        user_id: DEMO_USER,
        generated_content: 'Good morning',
        error_message: null,
        output_result: { success: true },
        credits_used: 1
      })
      t.same(more, [])
      await Promise.all(services.map(({ app }) => app.schedules.look()))
      t.equal((await rowsOf(place, id)).length, 1)
      const asked = services.flatMap(({ gateway }) => gateway.calls)
      t.equal(asked.length, 1)
      t.match(asked[0]!.body.messages.at(-1)!.content, /^It is \w+day, \d{4}-\d\d-\d\d \d\d:\d\d in Asia\/Tokyo \{\{unknown\}\}$/)
      t.match(await services[0]!.credits(), { creditsRemaining: before.creditsRemaining - 1, creditsReserved: 0 })
      const [run] = await place.sql('select user_id, status, idempotency_key, credits_charged from public.agent_runs where id = $1', [row!.run_id])
      t.same(run, { user_id: DEMO_USER, status: 'succeeded', idempotency_key: `schedule:${row!.id}`, credits_charged: 1 })
      const [after] = await place.sql('select next_run_at > now() as later, last_run_at, run_count, last_result from public.agent_schedules where id = $1', [id])
      t.match(after, { later: true, last_run_at: row!.completed_at, run_count: 1, last_result: { success: true, content_length: 12 } })
      t.notMatch(services.flatMap(({ logs }) => logs).join(''), /It is|Good morning/, 'neither is logged')
    })

    t.test('times that were missed while nothing ran are fired once, for the latest', async t => {
      const place = await open(t)
      if (!place) return
      const service = await start(t, place)
      const id = await addSchedule(place, { cron_expression: '*/10 * * * *' })
      await makeDue(place, service, id, 86_400)
      await service.app.schedules.look()
      const [row, ...more] = await overOf(place, id)
      t.same(more, [])
      const late = Date.now() - row!.scheduled_for!.getTime()
      t.ok(late >= 0 && late < 700_000, 'not a day ago')
    })
  })
}

t.test('a firing whose process died before its run is taken up by another, once', async t => {
  const place = await openShared(t)
  const service = await start(t, place)
  const id = await addSchedule(place)
  await makeDue(place, service, id)
  const [{ due }] = await place.sql('select public.iso_time(next_run_at) as due from public.agent_schedules where id = $1', [id])
  const fire = () => service.app.database.call('fire_schedule', {
    p_schedule_id: id, p_due: due, p_for: due, p_next: '2099-01-01T00:00:00.000Z', p_content: 'Hello', p_lease_seconds: -1
  })
  const firing = await fire()
  t.equal(await fire(), null, 'it is fired')
  // Its process had begun the run too, and did not live to hear of it.
  const begin = () => service.app.runs.begin({ kind: 'schedule', userId: DEMO_USER, agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hello' }], idempotencyKey: `schedule:${firing!.id}` })
  const [row] = await overOf(place, id)
  t.match(row, { id: firing!.id, status: 'completed', result: 'Good morning' })
  await begin()
  t.equal(service.gateway.calls.length, 1)
  t.equal((await place.sql('select from public.credit_usage where run_id = $1', [row!.run_id])).length, 1)
})

t.test('the run of a process that ends is ended by another, and so is its row', async t => {
  const place = await openShared(t)
  const [a, b] = [await start(t, place), await start(t, place)]
  a.gateway.reply = hang('half')
  b.gateway.reply = hang('half')
  const id = await addSchedule(place)
  await makeDue(place, a, id)
  const arriving = Promise.race([a, b].map(service => service.gateway.nextCall().then(() => service)))
  await a.app.schedules.look()
  const first = await arriving
  const other = first === a ? b : a
  other.gateway.reply = say('the whole')
  t.match(await rowsOf(place, id), [{ status: 'running', completed_at: null }])
  await first.app.close()
  const [row, ...more] = await overOf(place, id)
  t.match(row, { status: 'completed', result: 'the whole' })
  t.same(more, [])
})

t.test('what cannot begin is told in its row, and the schedule goes on', async t => {
  const place = await openShared(t)
  const service = await start(t, place)
  const faults: Array<[Record<string, unknown>, RegExp]> = [
    [{ user_id: OTHER_USER, agent_id: UNPUBLISHED_AGENT }, /no such agent/],
    [{ user_id: OTHER_USER }, /not enough credits/]
  ]
  await place.sql('update public.credit_balances set credits_remaining = 0 where user_id = $1', [OTHER_USER])
  for (const [fields, error] of faults) {
    const id = await addSchedule(place, fields)
    for (const count of [1, 2]) {
      await makeDue(place, service, id, count)
      await service.app.schedules.look()
      const rows = await overOf(place, id, count)
      t.match(rows, Array(count).fill({ status: 'failed', error, error_message: error, result: null, run_id: null, request: null, credits_used: 0 }))
      t.match(await place.sql('select is_enabled, next_run_at > now() as later, run_count, last_result from public.agent_schedules where id = $1', [id]),
        [{ is_enabled: true, later: true, run_count: 0, last_result: { success: false, error } }])
    }
  }
  t.equal(service.gateway.calls.length, 0)
  service.gateway.reply = response => { response.writeHead(402).end() }
  const id = await addSchedule(place)
  await makeDue(place, service, id)
  await service.app.schedules.look()
  t.match(await overOf(place, id), [{ status: 'failed', error: 'This agent is not available right now.', result: null }], 'and so is what fails later')
  t.same(service.app.schedules.figures!.firings.counts, [{ labels: { result: 'failed' }, count: 4 }, { labels: { result: 'fired' }, count: 1 }], 'and counted')
})

t.test('a schedule that is at fault is told of once, and rests until it is edited', async t => {
  const place = await openShared(t)
  const service = await start(t, place)
  const faults: Array<[Record<string, unknown>, RegExp]> = [
    [{ cron_expression: 'every day' }, /five fields/],
    [{ cron_expression: '* * * * * *' }, /once a minute/],
    [{ timezone: 'Mars/Olympus' }, /no time zone/],
    [{ output_action: 'fax' }, /"fax" is none of/],
    [{ output_action: 'webhook', output_config: '{"url": "https://example.com", "headers": ["x"]}' }, /output_config.headers is not a JSON object/],
    [{ output_action: 'webhook', output_config: JSON.stringify({ url: 'https://example.com', extra_data: 'x'.repeat(270_000) }) }, /larger than 256 KiB/],
    [{ output_action: 'webhook', output_config: '{"url": "ftp://example.com"}' }, /http/],
    [{ output_action: 'webhook', output_config: '{"url": "https://example.com", "secret": "x"}' }, /secret/],
    [{ output_action: 'api_call', output_config: '{"url": "https://example.com", "method": "BREW"}' }, /method/],
    [{ output_action: 'api_call', output_config: '{"url": "https://example.com", "headers_json": "x"}' }, /headers_json/],
    [{ prompt_template: ' ' }, /no prompt/]
  ]
  const ids = []
  // A row that is as large as that was written before there was a limit.
  await place.sql('alter table public.agent_schedules disable trigger bound_schedule')
  for (const [fields] of faults) ids.push(await addSchedule(place, fields))
  await place.sql('alter table public.agent_schedules enable trigger bound_schedule')
  const good = await addSchedule(place)
  const areLeft = async () => (await place.sql('select from public.agent_schedules where next_run_at is null and unplanned_since < \'infinity\'')).length > 0
  while (await areLeft()) await service.app.schedules.look()
  await service.app.schedules.look()
  for (const [index, [fields, error]] of faults.entries()) {
    t.match(await rowsOf(place, ids[index]!), [{ status: 'failed', error, scheduled_for: null, completed_at: Date }], JSON.stringify(fields))
    t.equal((await rowsOf(place, ids[index]!)).length, 1)
  }
  t.equal(service.logs.filter(line => line.includes('schedule at fault')).length, faults.length)
  t.same(await rowsOf(place, good), [])
  t.same(service.app.schedules.figures!.firings.counts, [{ labels: { result: 'fault' }, count: faults.length }])

  await place.sql('update public.agent_schedules set output_action = \'store\' where id = $1', [ids[3]])
  await place.sql('update public.agent_schedules set cron_expression = \'70 * * * *\' where id = $1', [ids[0]])
  await service.app.schedules.look()
  t.match(await place.sql('select next_run_at > now() as later from public.agent_schedules where id = $1', [ids[3]]), [{ later: true }], 'mended')
  t.match((await rowsOf(place, ids[0]!)).map(({ error }) => error), [/five fields/, /70/], 'another fault')
})

t.test('what is edited is planned anew, and none of its times is lost by that', async t => {
  const place = await openShared(t)
  const service = await start(t, place)
  const id = await addSchedule(place)
  const nextOf = async () => (await place.sql('select next_run_at from public.agent_schedules where id = $1', [id]))[0].next_run_at as Date | null
  await service.app.schedules.look()
  const first = await nextOf()
  await place.sql('update public.agent_schedules set prompt_template = \'Another\', output_config = \'{"url": "x"}\' where id = $1', [id])
  t.same(await nextOf(), first, 'its time stays')
  await place.sql('update public.agent_schedules set timezone = \'Asia/Kolkata\' where id = $1', [id])
  t.equal(await nextOf(), null)
  await service.app.schedules.look()
  t.equal((await nextOf())!.toISOString().slice(11, 16), '03:30')
  await place.sql('update public.agent_schedules set is_enabled = false, next_run_at = now() - interval \'1 day\' where id = $1', [id])
  await service.app.schedules.look()
  await place.sql('update public.agent_schedules set is_enabled = true where id = $1', [id])
  t.equal(await nextOf(), null, 'what was due while it was off is not made up for')
  await place.sql('update public.agent_schedules set is_enabled = true, cron_expression = \'* * * * *\', unplanned_since = now() where id = $1', [id])
  await place.sql('update public.agent_schedules set unplanned_since = now() - interval \'2 minutes\' where id = $1', [id])
  await service.app.schedules.look()
  t.equal((await overOf(place, id)).length, 1, 'it was due before it could be planned')
})

t.test('a full queue and a process that ends lose no firing', async t => {
  const place = await openShared(t)
  const a = await start(t, place, { MAX_CONCURRENT_RUNS: '1', MAX_QUEUED_RUNS: '0' })
  a.gateway.reply = hang('half')
  const arriving = a.gateway.nextCall()
  await a.request('POST', '/api/agent/execute', { body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true } })
  await arriving
  const id = await addSchedule(place)
  await makeDue(place, a, id)
  await a.app.schedules.look()
  while (!a.logs.some(line => line.includes('schedule waits'))) await new Promise(resolve => setImmediate(resolve))
  t.match(await rowsOf(place, id), [{ status: 'pending', run_id: null, completed_at: null }])
  await a.app.close()
  await place.sql('update public.scheduled_runs set lease_until = now() where schedule_id = $1', [id])
  await start(t, place)
  t.match(await overOf(place, id), [{ status: 'completed', result: 'Good morning' }])
})

t.test('results go to a webhook and to an API, again until they arrive, with one id', async t => {
  const place = await openShared(t)
  const service = await start(t, place, { WEBHOOK_SECRET: `whsec_${Buffer.alloc(24, 'k').toString('base64')}` })
  const server = await startServer(t, (response, asked, number) => answer(number === 1 ? 500 : 204)(response, asked, number))
  const isDelivered = (row: Row) => row.delivery_status === 'delivered'
  const id = await addSchedule(place, { output_action: 'webhook', output_config: JSON.stringify({ url: `${server.url}/hook`, payload_template: { text: '{{response}}', asked: '{{content}}', of: '{{agent_id}}' } }) })
  await makeDue(place, service, id)
  await service.app.schedules.look()
  const [row] = await overOf(place, id, 1, isDelivered)
  t.match(row, { status: 'completed', delivery_tries: 2, result: 'Good morning' })
  t.same(server.requests.map(({ headers }) => headers['webhook-id']), Array(2).fill(`msg_${row!.id}`))
  t.match(server.requests[1]!.headers['webhook-signature'], /^v1,/)
  t.same(JSON.parse(server.requests[1]!.body), { text: 'Good morning', asked: 'Hello', of: DEMO_AGENT })

  const other = await addSchedule(place, { output_action: 'api_call', output_config: JSON.stringify({ url: `${server.url}/{{schedule_id}}`, headers_json: '{"x-secret": "sesame"}' }) })
  await makeDue(place, service, other)
  await service.app.schedules.look()
  const [sent] = await overOf(place, other, 1, isDelivered)
  const last = server.requests.at(-1)!
  t.match(last, { method: 'POST', url: `/${other}`, headers: { 'x-secret': 'sesame', 'idempotency-key': sent!.id, 'content-type': 'application/json' } })
  t.same(JSON.parse(last.body), { title: 'Generated Content', content: 'Good morning', status: 'draft' })
  t.match(sent!.output_result, { success: true, status: 204 })
  t.notMatch(service.logs.join(''), /sesame|\/hook|Good morning/)
})

t.test('a result that does not arrive is told in its row after the last try, or where no try can help', async t => {
  const place = await openShared(t)
  const service = await start(t, place)
  const server = await startServer(t, answer(503))
  const isFailed = (row: Row) => row.delivery_status === 'failed'
  const id = await addSchedule(place, { output_action: 'webhook', output_config: JSON.stringify({ url: server.url }) })
  await makeDue(place, service, id)
  await service.app.schedules.look()
  // The pauses between the tries are cut short as soon as they have begun.
  for (const [tries, pause] of [[1, 5], [2, 30], [3, 300]] as const) {
    await overOf(place, id, 1, row => row.delivery_tries === tries && Math.abs(row.delivery_at!.getTime() - Date.now() - pause * 1000) < 4000)
    await place.sql('update public.scheduled_runs set delivery_at = now() where schedule_id = $1', [id])
  }
  t.match(await overOf(place, id, 1, isFailed), [{
    status: 'completed',
    result: 'Good morning',
    error_message: 'The result could not be delivered: status 503',
    delivery_tries: 4,
    output_result: { success: false, status: 503 }
  }])
  t.equal(server.requests.length, 4)

  const inside = await addSchedule(place, { output_action: 'webhook', output_config: JSON.stringify({ url: `http://127.0.0.2:${server.port}` }) })
  await makeDue(place, service, inside)
  await service.app.schedules.look()
  t.match(await overOf(place, inside, 1, isFailed), [{ error: /not at a public address/, delivery_tries: 1, output_result: { success: false, error: /not at a public address/ } }])
  t.equal(server.requests.length, 4)
})

t.test('what a process was sending when it ended another sends, with the same id', async t => {
  const place = await openShared(t)
  const server = await startServer(t, (response, asked, number) => { if (number > 1) answer(200)(response, asked, number) })
  const a = await start(t, place)
  const id = await addSchedule(place, { output_action: 'webhook', output_config: JSON.stringify({ url: server.url }) })
  await makeDue(place, a, id)
  const arriving = server.next()
  await a.app.schedules.look()
  await arriving
  await a.app.close()
  t.match(await rowsOf(place, id), [{ delivery_status: 'pending', status: 'completed' }])
  await start(t, place)
  t.match(await overOf(place, id, 1, row => row.delivery_status === 'delivered'), [{ delivery_tries: 2 }])
  t.equal(new Set(server.requests.map(({ headers }) => headers['webhook-id'])).size, 1)
})

t.test('a result for which its user has chosen the store meanwhile goes nowhere', async t => {
  const place = await openShared(t)
  const service = await start(t, place)
  service.gateway.reply = hang('half')
  const id = await addSchedule(place, { output_action: 'webhook', output_config: '{"url": "https://example.com"}' })
  await makeDue(place, service, id)
  const arriving = service.gateway.nextCall()
  await service.app.schedules.look()
  await arriving
  const [row] = await rowsOf(place, id)
  await place.sql('update public.agent_schedules set output_action = \'store\' where id = $1', [id])
  await service.request('POST', `/api/runs/${row!.run_id}/cancel`)
  t.match(await overOf(place, id), [{ status: 'failed', error: 'The run was cancelled.', delivery_status: null, result: 'half' }])
})

t.test('a user\'s own key that looks like a firing\'s changes nothing of another\'s', async t => {
  const place = await openShared(t)
  const service = await start(t, place)
  const id = await addSchedule(place, { user_id: OTHER_USER })
  await place.sql('insert into public.scheduled_runs (id, schedule_id, agent_id, user_id, status, request, lease_until) values ($1, $2, $3, $4, \'running\', $5, \'infinity\')',
    [randomUUID(), id, DEMO_AGENT, OTHER_USER, { userId: OTHER_USER }])
  const [row] = await rowsOf(place, id)
  for (const key of [`schedule:${row!.id}`, 'schedule:', 'schedule:x', `schedule:${'-'.repeat(36)}`]) {
    t.equal((await service.execute({}, { ...await bearer(), 'idempotency-key': key })).status, 200, key)
  }
  t.match(await rowsOf(place, id), [{ run_id: null, status: 'running' }])
})
