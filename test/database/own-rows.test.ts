import { createHash, randomUUID } from 'node:crypto'
import pg from 'pg'
import t, { type Test } from 'tap'
import { connectPostgres } from '../../src/database/postgres.js'
import { bearer, createPostgres, DEMO_AGENT, DEMO_USER, findPostgres, OTHER_USER, startService } from '../support/helper.js'
import { until } from '../support/until.js'

const MB = 1_000_000
const TOO_LARGE = { code: 'PT400', hint: 'bad_request' }

/** A database, the service's way to it, and the way of who writes rows beside the service. */
async function open (t: Test) {
  const url = await createPostgres(t)
  const db = connectPostgres({ url, maxConnections: 4 })
  const connect = async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    t.teardown(() => client.end())
    return async (text: string, values: unknown[] = []): Promise<any[]> => (await client.query(text, values)).rows
  }
  t.teardown(() => db.close())
  const sql = await connect()
  /** Writes as before the limits. */
  const asBefore = async (table: string, trigger: string, write: () => Promise<unknown>) => {
    await sql(`alter table public.${table} disable trigger ${trigger}`)
    await write()
    await sql(`alter table public.${table} enable trigger ${trigger}`)
  }
  const addSchedule = async (fields: Record<string, unknown> = {}): Promise<string> => {
    const row: Record<string, unknown> = { agent_id: DEMO_AGENT, user_id: DEMO_USER, prompt_template: 'Hi', cron_expression: '0 9 * * *', ...fields }
    const [{ id }] = await sql(`insert into public.agent_schedules (${Object.keys(row).join(', ')}) values (${Object.keys(row).map((_, n) => `$${n + 1}`).join(', ')}) returning id`, Object.values(row))
    return id
  }
  return { url, db, sql, connect, asBefore, addSchedule }
}

t.test('what users write into their own rows', async t => {
  if (!await findPostgres(t)) return
  const { url, db, sql, connect, asBefore, addSchedule } = await open(t)
  // As in projects whose column has no length.
  await sql('alter table public.agents alter column ai_model type text')
  const service = await startService(t, { SUPABASE_DB_URL: url })
  const admin = async (path: string) => service.request('GET', path, { headers: await bearer(DEMO_USER) })

  t.test('a temperature that is no number of JSON is none, to runs, admins and pages', async t => {
    await sql('update public.agents set temperature = \'NaN\' where id = $1', [DEMO_AGENT])
    await service.execute()
    t.equal(service.gateway.calls.at(-1)!.body.temperature, 0.7)
    for (const path of ['/api/admin/agents', `/api/admin/agents/${DEMO_AGENT}`]) t.equal((await admin(path)).status, 200, path)
    t.equal((await db.call('get_agent', { p_user_id: DEMO_USER, p_agent_id: DEMO_AGENT })).temperature, null)
    const { rows } = await db.call('list_rows', { p_user_id: DEMO_USER, p_table: 'agents' })
    t.match(rows.find(({ id }) => id === DEMO_AGENT), { temperature: null })
    t.match((await db.call('list_rows', { p_user_id: DEMO_USER, p_table: 'agents', p_agent_id: DEMO_AGENT })).rows, [{ temperature: null }])
    await sql('update public.agents set temperature = 0.5 where id = $1', [DEMO_AGENT])
  })

  t.test('texts of agents from before the limits come to admins and runs cut', async t => {
    await asBefore('agents', 'bound_agent', () => sql('update public.agents set name = $1, description = $1, ai_model = $1 where id = $2', ['x'.repeat(5 * MB), DEMO_AGENT]))
    const { body } = await admin('/api/admin/agents')
    const listed = body.agents.find(({ agentId }: { agentId: string }) => agentId === DEMO_AGENT)
    t.same([listed.name.length, listed.description.length, listed.model.length], [1_000, 10_000, 200])
    await asBefore('agent_functions', 'bound_function', () => sql(`insert into public.agent_functions (agent_id, name, description, function_type) select $1, name, name, name from (select repeat('x', ${5 * MB}) as name) n`, [DEMO_AGENT]))
    const { agent } = await db.call('begin_run', { p_user_id: DEMO_USER, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: null, p_lease_seconds: 0, p_waiting: true })
    t.ok(JSON.stringify(agent).length < 10_000)
    await sql('delete from public.agent_functions where agent_id = $1', [DEMO_AGENT])
    await sql('update public.agents set name = \'Demo\', description = null, ai_model = null where id = $1', [DEMO_AGENT])
  })

  t.test('an address that is longer than admins are shown is no wish, and keeps none from being seen', async t => {
    const [{ id: old }] = await sql('insert into public.agents (user_id, name, purpose) values ($1, \'Old\', \'p\') returning id', [OTHER_USER])
    await sql('update public.agents set railway_url_requested = $1 where id = $2', [`https://old.example/${'x'.repeat(2_000)}`, old])
    const asUser = async (railwayUrl: string) => {
      await sql('begin')
      await sql('set local role authenticated')
      await sql('select set_config(\'request.jwt.claims\', $1, true)', [JSON.stringify({ sub: DEMO_USER, role: 'authenticated' })])
      await sql('update public.agents set name = \'Saved\', railway_url = $1 where id = $2', [railwayUrl, DEMO_AGENT])
      await sql('commit')
    }
    await sql('delete from public.user_roles where user_id = $1', [DEMO_USER])
    await asUser(`https://new.example/${'x'.repeat(2_000)}`)
    t.match(await sql('select name, railway_url, railway_url_requested from public.agents where id = $1', [DEMO_AGENT]), [{ name: 'Saved', railway_url: null, railway_url_requested: null }])
    await asUser('https://new.example/')
    await sql('insert into public.user_roles (user_id, role) values ($1, \'admin\')', [DEMO_USER])
    t.match(await db.call('admin_list_railway_urls', { p_admin_id: DEMO_USER, p_limit: 1 }), { total: 1, requests: [{ agentId: DEMO_AGENT, requestedUrl: 'https://new.example/' }] })
    await sql('delete from public.agents where id = $1', [old])
  })

  t.test('a key with more than its owner may write is refused, and one from before is no key', async t => {
    const key = 'jsk_own_rows'
    const hash = createHash('sha256').update(key).digest('hex')
    const insert = (origins: string[]) => sql('insert into public.api_keys (user_id, key_name, key_hash, key_prefix, origins) values ($1, \'own\', $2, \'jsk\', $3)', [DEMO_USER, hash, origins])
    const of = (count: number, length = 20) => Array.from({ length: count }, (_, n) => `https://${n}.${'x'.repeat(length)}`)
    await t.rejects(insert(of(101)), TOO_LARGE)
    await t.rejects(insert(of(1, 301)), TOO_LARGE)
    await insert(of(100))
    await t.rejects(sql('update public.api_keys set scopes = array_fill(\'read\'::text, array[1000]) where key_hash = $1', [hash]), TOO_LARGE)
    await t.rejects(sql('update public.api_keys set agent_ids = array_fill(gen_random_uuid(), array[101]) where key_hash = $1', [hash]), TOO_LARGE)
    t.match(await db.call('authenticate_api_key', { p_key_hash: hash }), { userId: DEMO_USER, origins: { length: 100 } })

    await asBefore('api_keys', 'bound_key', () => sql('update public.api_keys set origins = array(select gen_random_uuid()::text from generate_series(1, 100000)) where key_hash = $1', [hash]))
    t.match(await db.call('authenticate_api_key', { p_key_hash: hash }), { userId: null, origins: null })
    t.equal((await service.request('GET', '/api/credits', { headers: { 'x-api-key': key } })).status, 401)
    t.match((await db.call('list_api_keys', { p_user_id: DEMO_USER, p_limit: 100 })).keys.find(({ name }) => name === 'own'), { origins: { length: 100 } })
    await sql('update public.api_keys set last_used_at = now() where key_hash = $1', [hash])
  })

  t.test('a result whose schedule has grown since is sent with what fits, or fails, and one that processes die over fails too', async t => {
    const schedule = await addSchedule({ output_action: 'webhook', output_config: { url: 'https://example.com' } })
    const add = async (tries = 0) => (await sql('insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, scheduled_for, completed_at, result, delivery_status, delivery_at, delivery_tries) values ($1, $2, $3, \'completed\', clock_timestamp(), now(), \'An answer\', \'pending\', now() - interval \'1 second\', $4) returning id', [schedule, DEMO_AGENT, DEMO_USER, tries]))[0].id as string
    const claim = () => db.call('claim_deliveries', { p_lease_seconds: 60, p_limit: 10 })
    const first = await add()
    await asBefore('agent_schedules', 'bound_schedule', () => sql('update public.agent_schedules set timezone = $1, output_action = $1, prompt_template = $1 where id = $2', ['x'.repeat(5 * MB), schedule]))
    t.match((await claim()).map(({ id, timezone, action, prompt }) => [id, timezone!.length, action!.length, prompt!.length]), [[first, 201, 201, 100_001]])
    const [worn, large] = [await add(20), await add()]
    t.same((await claim()).map(({ id }) => id), [large])
    t.match(await sql('select delivery_status, error from public.scheduled_runs where id = $1', [worn]), [{ delivery_status: 'failed', error: /again and again/ }])
    await asBefore('agent_schedules', 'bound_schedule', () => sql('update public.agent_schedules set output_config = $1 where id = $2', [{ url: 'x'.repeat(MB) }, schedule]))
    await add()
    t.same(await claim(), [])
    t.match(await sql('select count(*)::integer as failed from public.scheduled_runs where delivery_status = \'failed\''), [{ failed: 2 }])
    await sql('delete from public.agent_schedules')
  })

  t.test('a firing, a page and a deletion look at no firings but those that are asked for', async t => {
    const schedules = await Promise.all(Array.from({ length: 4 }, () => addSchedule()))
    for (const schedule of schedules) await sql('insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, scheduled_for, started_at) select $1, $2, gen_random_uuid(), \'completed\', now() + make_interval(secs => n), now() from generate_series(1, 5000) n', [schedule, DEMO_AGENT])
    await sql('analyze public.scheduled_runs')
    for (const [condition, value] of [
      ['schedule_id = $1 and scheduled_for is null and started_at >= now()', schedules[0]],
      ['schedule_id = $1', randomUUID()], ['agent_id = $1', randomUUID()], ['user_id = $1', randomUUID()],
      ['scheduled_for is null and status = $1', 'running']
    ] as const) {
      const [{ 'QUERY PLAN': plan }] = await sql(`explain (format json) select from public.scheduled_runs where ${condition}`, [value])
      t.notMatch(JSON.stringify(plan), 'Seq Scan', condition)
    }
    await sql('delete from public.agent_schedules')
  })

  t.test('whoever ends a run locks its balance before its user\'s slots, and its schedule before the firing, as all others do', async t => {
    await service.app.close()
    const [other, third] = [await connect(), await connect()]
    const begin = async (more: object = {}) => (await db.call('begin_run', { p_user_id: DEMO_USER, p_agent_id: DEMO_AGENT, p_request_hash: 'hash', p_input: { messages: [] }, p_owner: null, p_lease_seconds: 0, ...more })).run.runId
    const waiting = () => until(() => third('select from pg_stat_activity where datname = current_database() and wait_event_type = \'Lock\''), ({ length }) => length === 1)
    const worn = await begin({ p_waiting: true })
    await sql('update public.agent_runs set crashes = 20 where id = $1', [worn])
    await other('begin')
    await other('select from public.credit_balances where user_id = $1 for no key update', [DEMO_USER])
    const claiming = db.call('claim_run', { p_run_id: worn, p_owner: randomUUID(), p_lease_seconds: 60, p_max_per_user: 10, p_max_crashes: 20 })
    await waiting()
    t.match(await third('select pg_try_advisory_xact_lock(hashtextextended(\'slots of \' || $1, 0)) as is_free', [DEMO_USER]), [{ is_free: true }])
    await other('commit')
    t.same(await claiming, { refused: 'ended' })

    const schedule = await addSchedule()
    const [{ id: firing }] = await sql('insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, scheduled_for, request) values ($1, $2, $3, \'pending\', now(), $4) returning id', [schedule, DEMO_AGENT, DEMO_USER, { userId: DEMO_USER }])
    await other('begin')
    await other('select from public.agent_schedules where id = $1 for update', [schedule])
    await t.resolves(begin({ p_user_id: OTHER_USER, p_idempotency_key: `schedule:${firing}`, p_agent: { name: 'A' } }), 'whose firing it is not does not wait for it')
    await other('commit')
    const runId = await begin({ p_owner: randomUUID(), p_lease_seconds: 60, p_idempotency_key: `schedule:${firing}`, p_agent: { name: 'A' } })
    await other('begin')
    await other('select from public.agent_schedules where id = $1 for update', [schedule])
    const ending = db.call('finish_run', { p_run_id: runId, p_attempt: 1, p_status: 'succeeded', p_response: 'Hi', p_finish_reason: 'stop', p_usage: null, p_credits: 0, p_model: null, p_error: null, p_trace: null })
    await waiting()
    await t.resolves(third('select from public.scheduled_runs where id = $1 for update nowait', [firing]))
    await other('commit')
    t.match(await ending, { status: 'succeeded' })
    t.match(await sql('select generated_content from public.scheduled_runs where id = $1', [firing]), [{ generated_content: 'Hi' }])
  })
})
