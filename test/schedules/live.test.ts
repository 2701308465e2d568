import { readFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { listMigrations } from '../../src/database/migrations.js'
import { say, startGateway } from '../support/doubles/gateway.js'
import { startPostgrest } from '../support/doubles/postgrest.js'
import { type Service, startService } from '../support/helper.js'
import {
  createLive, LIVE_AGENTS, LIVE_SCHEDULES, LIVE_USERS, type LiveDatabase, openPglite, SERVICE, user
} from '../support/live/project.js'
import { respond, startServer } from '../support/tools.js'

const KEY = 'service-role-key'
const { heavy, writer, shared, draft } = LIVE_AGENTS
const PAGE = user(LIVE_USERS.pro)

/** The service beside the live project. */
async function startBeside (t: Test, live: LiveDatabase, variables: Record<string, string> = { SCHEDULES: 'on' }): Promise<Service> {
  const url = await startPostgrest(t, { query: (text, values) => live.query(text, values) }, KEY)
  const gateway = await startGateway(t, say('Good morning'))
  return startService(t, { SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: KEY, ALLOW_PRIVATE_TOOL_HOSTS: '127.0.0.1', ...variables }, gateway)
}

/** What the page writes on save; it switches on with a next run one minute ahead. */
function rowOfPage (agentId: string, fields: Record<string, unknown> = {}) {
  return {
    agent_id: agentId,
    user_id: LIVE_USERS.pro,
    is_enabled: true,
    schedule_type: 'daily',
    cron_expression: '0 9 * * *',
    timezone: 'UTC',
    prompt_template: 'Hello',
    output_action: 'store',
    output_config: {},
    next_run_at: new Date(Date.now() + 60_000).toISOString(),
    updated_at: new Date().toISOString(),
    ...fields
  }
}

/** Saves a schedule as its user, as the page does. */
async function save (live: LiveDatabase, agentId: string, fields: Record<string, unknown> = {}): Promise<string> {
  const row = rowOfPage(agentId, fields)
  const names = Object.keys(row)
  const values = names.map((_, index) => `$${index + 1}`)
  const [saved] = await live.as(PAGE, `insert into public.agent_schedules (${names.join(', ')}) values (${values.join(', ')})
    on conflict (agent_id) do update set ${names.map(name => `${name} = excluded.${name}`).join(', ')} returning id`,
  Object.values(row).map(value => value !== null && typeof value === 'object' ? JSON.stringify(value) : value))
  return saved!.id
}

/** What the page shows: its two queries, as the user. */
async function show (live: LiveDatabase, agentId: string) {
  const [schedule] = await live.as(PAGE, 'select * from public.agent_schedules where agent_id = $1', [agentId])
  const runs = await live.as(PAGE, 'select * from public.scheduled_runs where agent_id = $1 order by created_at desc limit 10', [agentId])
  return { schedule: schedule!, runs }
}

/** Lets time pass until the schedule is due. */
async function makeDue (live: LiveDatabase, id: string): Promise<void> {
  await live.query("update public.agent_schedules set next_run_at = date_trunc('milliseconds', now()) - interval '1 second' where id = $1", [id])
}

/** The newest run that the page shows, once it is over and sent. */
async function lastRun (service: Service, live: LiveDatabase, agentId: string, count = 1) {
  for (;;) {
    await service.app.schedules.look()
    const { schedule, runs } = await show(live, agentId)
    const over = runs.filter(run => run.completed_at !== null && run.delivery_status !== 'pending')
    if (over.length >= count) return { schedule, run: over[0]!, runs }
  }
}

t.test('a schedule that the page saves is due at the page\'s time, then by its expression, and the page shows what became of it', async t => {
  const live = await createLive(t, { open: openPglite })
  const service = await startBeside(t, live)
  const next = new Date(Date.now() + 60_000).toISOString()
  const id = await save(live, heavy, { next_run_at: next })
  await service.app.schedules.look()
  t.equal((await show(live, heavy)).schedule.next_run_at.toISOString(), next, 'the page\'s time is kept')
  t.same((await show(live, heavy)).runs, [])
  await makeDue(live, id)
  const { schedule, run } = await lastRun(service, live, heavy)
  t.match(run, {
    status: 'completed',
    agent_id: heavy,
    user_id: LIVE_USERS.pro,
    started_at: Date,
    completed_at: Date,
    generated_content: 'Good morning',
    output_result: { success: true },
    error_message: null,
    credits_used: 1
  })
  t.match(schedule, { is_enabled: true, run_count: 1, last_run_at: run.completed_at, last_result: { success: true, content_length: 12 } })
  t.match(schedule.next_run_at.toISOString(), /T09:00:00.000Z$/)
  for (const forge of [`insert into public.scheduled_runs (schedule_id, agent_id, user_id) values ('${id}', '${heavy}', '${LIVE_USERS.pro}')`, "update public.scheduled_runs set generated_content = 'Forged'"]) {
    await t.rejects(live.as(PAGE, forge), { code: '42501' }, 'what the page shows nobody forges')
  }

  service.gateway.reply = response => { response.writeHead(400).end('{"error": {"message": "no"}}') }
  await makeDue(live, id)
  const failed = await lastRun(service, live, heavy, 2)
  t.match(failed.run, { status: 'failed', error_message: /\w+/, generated_content: null, credits_used: 0 })
  t.match(failed.schedule, { run_count: 1, last_result: { success: false, error: failed.run.error_message } })
})

t.test('a schedule that is off does not fire, be it switched off after it was planned, or after it was fired', async t => {
  const live = await createLive(t, { open: openPglite })
  const service = await startBeside(t, live)
  const off = await save(live, heavy, { is_enabled: false, next_run_at: null })
  await makeDue(live, off)
  await service.app.schedules.look()
  t.same((await show(live, heavy)).runs, [])

  await save(live, heavy)
  await service.app.schedules.look()
  await save(live, heavy, { is_enabled: false, next_run_at: new Date(0).toISOString() })
  const due = '1970-01-01T00:00:00.000Z'
  t.equal(await service.app.database.call('fire_schedule', {
    p_schedule_id: off, p_due: due, p_for: due, p_next: '2099-01-01T00:00:00.000Z', p_content: 'Hello', p_lease_seconds: 60
  }), null)

  const [fired] = await live.query(`insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, started_at, scheduled_for, request, lease_until)
    values ($1, $2, $3, 'pending', now(), now(), $4, now() - interval '1 second') returning id`,
  [off, heavy, LIVE_USERS.pro, JSON.stringify({ userId: LIVE_USERS.pro, agentId: heavy, content: 'Hello' })])
  const { run } = await lastRun(service, live, heavy)
  t.match(run, { id: fired!.id, status: 'failed', error_message: /switched off/ })
  t.equal(service.gateway.calls.length, 0)
})

t.test('results are sent as the platform\'s runner sends them, with the page\'s headers', async t => {
  const live = await createLive(t, { open: openPglite })
  const service = await startBeside(t, live)
  const server = await startServer(t, respond(201))
  const send = async (agentId: string, output_action: string, output_config: unknown) => {
    await makeDue(live, await save(live, agentId, { output_action, output_config }))
    return lastRun(service, live, agentId)
  }
  const hook = await send(heavy, 'webhook', {
    url: `${server.url}/hook`, method: 'PUT', headers: { Authorization: 'Bearer of the hook' }, headers_json: '{"x-site": "1"}', extra_data: { site: 1, agent_name: 'Mine' }
  })
  t.match(server.requests[0], { method: 'PUT', url: '/hook', headers: { authorization: 'Bearer of the hook', 'x-site': '1', 'content-type': 'application/json' } })
  t.same(JSON.parse(server.requests[0]!.body), {
    agent_id: heavy, agent_name: 'Mine', content: 'Good morning', generated_at: hook.run.completed_at.toISOString(), site: 1
  })
  t.match(hook.run, { status: 'completed', output_result: { success: true, status: 201 } })

  await live.query('delete from public.agent_schedules')
  const [{ name }] = await live.query('select name from public.agents where id = $1', [heavy]) as [{ name: string }]
  await send(heavy, 'webhook', { url: `${server.url}/plain`, method: 'POST' })
  t.match(JSON.parse(server.requests[1]!.body), { agent_name: name })

  await live.query('delete from public.agent_schedules')
  const post = await send(heavy, 'api_call', {
    url: `${server.url}/posts`,
    method: 'POST',
    headers: { 'Content-Type': 'application/vnd.cms+json', Authorization: 'Basic eA==' },
    template: 'wordpress',
    title_template: 'News of {date}',
    publish_status: 'publish',
    extra_fields: { categories: [3] }
  })
  t.match(server.requests[2], { method: 'POST', headers: { authorization: 'Basic eA==', 'content-type': 'application/vnd.cms+json' } })
  t.same(JSON.parse(server.requests[2]!.body), {
    title: `News of ${post.run.completed_at.toLocaleDateString('en-US', { timeZone: 'UTC' })}`, content: 'Good morning', status: 'publish', categories: [3]
  })
  t.notMatch(service.logs.join(''), /Bearer of|Basic eA/)

  for (const config of [null, {}, [], { url: '' }]) {
    await live.query('delete from public.agent_schedules')
    t.match((await send(heavy, 'webhook', config)).run, { status: 'completed', generated_content: 'Good morning', output_result: { success: true } }, JSON.stringify(config))
  }
  t.equal(server.requests.length, 3, 'without an address a result is kept alone')
})

t.test('beside the platform\'s runner no due time fires twice: who comes first has fired', async t => {
  const live = await createLive(t, { open: openPglite })
  const service = await startBeside(t, live)
  const insert = 'insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, started_at) values ($1, $2, $3, \'running\', now()) returning id'
  const id = await save(live, heavy)

  await makeDue(live, id)
  const [theirs] = await live.as(SERVICE, insert, [id, heavy, LIVE_USERS.pro])
  await service.app.schedules.look()
  t.equal(service.gateway.calls.length, 0, 'the runner is asking the model')
  await live.as(SERVICE, "update public.agent_schedules set next_run_at = now() + interval '1 hour', run_count = 1 where id = $1", [id])
  await live.as(SERVICE, "update public.scheduled_runs set status = 'completed', completed_at = now() where id = $1", [theirs!.id])
  await service.app.schedules.look()
  t.equal(service.gateway.calls.length, 0)

  await makeDue(live, id)
  await lastRun(service, live, heavy, 2)
  t.equal(service.gateway.calls.length, 1)
  await t.rejects(live.as(SERVICE, insert, [id, heavy, LIVE_USERS.pro]), { code: '23505' }, 'the runner, which had read it before, leaves it out')
  t.equal((await show(live, heavy)).runs.length, 2)

  await live.as(SERVICE, 'update public.agent_schedules set next_run_at = null where id = $1', [id])
  await service.app.schedules.look()
  t.match((await show(live, heavy)).schedule.next_run_at.toISOString(), /T09:00:00.000Z$/, 'where the runner knows no next time the service does')
})

t.test('rows that make no sense are told of where the page shows it, and keep no other from firing', async t => {
  const live = await createLive(t, { open: openPglite })
  const service = await startBeside(t, live)
  const nested = `${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}`
  const bad: Array<[string, Record<string, unknown>]> = [
    [heavy, { output_action: 'api_call', output_config: { url: 'https://example.com', headers: 3 } }],
    [shared, { cron_expression: '0 0 9 * * * *' }]
  ]
  const ids: string[] = []
  await live.query('update public.agents set user_id = $1', [LIVE_USERS.pro])
  await live.query('delete from public.agent_schedules')
  for (const [agentId, fields] of bad) ids.push(await save(live, agentId, fields))
  const lone = await save(live, draft, { cron_expression: '0 0 9 * * *' })
  await live.query('update public.agent_schedules set user_id = $2 where id = $1', [lone, LIVE_USERS.newcomer])
  const good = await save(live, writer, { output_action: 'webhook', output_config: '{}' })
  await live.query('update public.agent_schedules set output_config = $2::jsonb where id = $1', [good, nested])
  for (const id of [...ids, lone, good]) await makeDue(live, id)
  const { run } = await lastRun(service, live, writer)
  t.match(run, { status: 'completed', generated_content: 'Good morning' })
  for (const [agentId] of bad) {
    const { schedule, run } = await lastRun(service, live, agentId)
    t.match(run, { status: 'failed', error_message: String })
    t.match(schedule, { next_run_at: null, last_result: { success: false, error: run.error_message } })
  }
  const [refused] = await live.query('select r.error_message, s.last_result, s.next_run_at from public.scheduled_runs r join public.agent_schedules s on s.id = r.schedule_id where s.id = $1', [lone])
  t.match(refused, { error_message: /agent|credits/, last_result: { success: false }, next_run_at: Date }, 'a user without profile and balance; six fields are well')

  await makeDue(live, good)
  await live.query('delete from public.agents where id = $1', [writer])
  await service.app.schedules.look()
  t.same(await live.query('select from public.scheduled_runs where agent_id = $1', [writer]), [])
  t.notMatch(service.logs.join(''), /could not be/)
})

t.test('beside a project the platform fires them unless SCHEDULES is on, and the log and /ready say who does', async t => {
  const live = await createLive(t, { open: openPglite })
  const cases: Array<[Record<string, string>, string, RegExp]> = [
    [{}, 'platform', /left to the platform/], [{ SCHEDULES: 'off' }, 'platform', /left to the platform/], [{ SCHEDULES: 'on' }, 'service', /this service fires/]
  ]
  await live.query("update public.agent_schedules set output_action = 'store'")
  await makeDue(live, LIVE_SCHEDULES.on)
  for (const [variables, schedules, line] of cases) {
    const service = await startBeside(t, live, variables)
    t.match(await service.request('GET', '/ready'), { body: { schedules } })
    t.match(service.logs.join(''), line)
    if (schedules === 'platform') {
      await service.app.schedules.look()
      t.equal(service.gateway.calls.length, 0)
      await service.app.close()
    } else {
      await lastRun(service, live, writer, 3)
      t.equal(service.gateway.calls.length, 1)
    }
  }
})

t.test('schedules of the first releases keep what was switched off, and their firings are shown', async t => {
  const live = await createLive(t, { open: openPglite, migrated: false })
  const files = await listMigrations()
  const read = (file: string) => readFile(new URL(`../../supabase/migrations/${file}`, import.meta.url), 'utf8')
  const released = files.filter(file => file < '20261201')
  for (const file of released) await live.run(await read(file))
  await live.query('update public.agent_schedules set is_enabled = true, is_active = (id = $1)', [LIVE_SCHEDULES.on])
  await live.query("insert into public.scheduled_runs (schedule_id, status, result, scheduled_for) values ($1, 'completed', 'Hello', now())", [LIVE_SCHEDULES.on])
  for (const round of [1, 2]) {
    for (const file of files.slice(released.length)) await live.run(await read(file))
    t.same(await live.query('select id, is_enabled from public.agent_schedules order by id'),
      [{ id: LIVE_SCHEDULES.on, is_enabled: true }, { id: LIVE_SCHEDULES.off, is_enabled: false }], `round ${round}`)
  }
  const runs = await live.as(PAGE, 'select generated_content, agent_id from public.scheduled_runs where scheduled_for is not null')
  t.same(runs, [{ generated_content: 'Hello', agent_id: writer }])
  t.same(await live.query("select from pg_attribute where attrelid = 'public.agent_schedules'::regclass and attname = 'is_active' and not attisdropped"), [])
  await t.rejects(live.query("insert into public.scheduled_runs (schedule_id, status) values ($1, 'running')", [LIVE_SCHEDULES.on]), { code: '23502' }, 'the platform\'s own "not null" is back')
})
