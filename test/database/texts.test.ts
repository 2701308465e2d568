import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import pg from 'pg'
import t, { type Test } from 'tap'
import { eraseOldRuns } from '../../src/executor/run/retention.js'
import { delta, ending, frame, inTurn, openStream } from '../support/doubles/gateway.js'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { bearer, createPostgres, DEMO_AGENT, DEMO_USER, endOf, findPostgres, OTHER_USER, parseStream, startService } from '../support/helper.js'
import { until } from '../support/until.js'
import { readDocument, sectionOf, tableOf } from '../docs/markdown.js'

const MARK = 'marked'
const TOOL = 'look_up_marked'
const SCHEDULED = 'the marked prompt of a schedule'
const document = readDocument('docs/reference/texts.md')

/** The places of the document's tables, each with when it is empty. */
function placesOf (title: string): Map<string, string> {
  return new Map(tableOf(sectionOf(document, title), 'place').rows.flatMap(([places, , gone]) => places!.split(', ').map(place => [place, gone!] as const)))
}

/** Every column of every table that has the mark: `table.column`. */
async function findInTables (sql: pg.Client): Promise<string[]> {
  const { rows } = await sql.query('select format(\'%I.%I\', schemaname, tablename) as name, tablename from pg_tables where schemaname not in (\'pg_catalog\', \'information_schema\')')
  const found = new Set<string>()
  for (const { name, tablename } of rows) {
    const columns = await sql.query(`select distinct c.key from ${name} t, jsonb_each_text(to_jsonb(t)) c where c.value like $1`, [`%${MARK}%`])
    for (const { key } of columns.rows) found.add(`${tablename}.${key}`)
  }
  return [...found].sort()
}

/** Every key of Redis that has the mark, with the seconds that it lives. */
async function findInRedis (redis: Redis): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const key of await redis.keys('*')) {
    const read: Record<string, () => Promise<unknown>> = {
      string: () => redis.get(key),
      hash: () => redis.hgetall(key),
      list: () => redis.lrange(key, 0, -1),
      set: () => redis.smembers(key),
      zset: () => redis.zrange(key, '0', '-1'),
      stream: () => redis.xrange(key, '-', '+')
    }
    const value = JSON.stringify([key, await read[await redis.type(key)]?.()])
    if (value.includes(MARK)) found.set(key, await redis.ttl(key))
  }
  return found
}

async function setUp (t: Test, variables: Record<string, string> = {}) {
  const url = await createPostgres(t)
  const redis = await startRedis(t)
  const sql = new pg.Client({ connectionString: url })
  await sql.connect()
  t.teardown(() => sql.end())
  const service = await startService(t, { SUPABASE_DB_URL: url, REDIS_URL: redis.url, SCHEDULES: 'on', ...variables })
  const [user, agent] = [randomUUID(), randomUUID()]
  await sql.query('insert into auth.users (id) values ($1)', [user])
  await sql.query("insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, 50, 'demo')", [user])
  await sql.query(`insert into public.agents (id, user_id, name, description, purpose, status, system_prompt, knowledge_base, is_published, cache_seconds, temperature)
    values ($1, $2, 'A', '', '', 'active', 'A marked system prompt', '["A marked document"]', true, 31536000, 0)`, [agent, user])
  await sql.query(`insert into public.agent_functions (agent_id, name, description, function_type, config)
    values ($1, $2, 'marked', 'data_transform', $3)`, [agent, TOOL, { transform_type: 'format', template: 'The marked finding of {{data}}', parameters: { type: 'object', properties: { data: { type: 'string' } } } }])
  return { service, redis: redis.client, sql, user, agent, headers: await bearer(user) }
}

const call = frame({ choices: [{ index: 0, delta: { content: 'A marked thought aloud. ', reasoning: 'A marked thought', tool_calls: [{ index: 0, id: 'c1', function: { name: TOOL, arguments: '{"data":"a marked word"}' } }] }, finish_reason: 'tool_calls' }] })
const answer = delta('The marked answer') + ending()

t.test('every place that has a text of a user is listed, and none keeps it for longer than it says', async t => {
  if (!await findPostgres(t) || !await findRedis(t)) return
  const { service, redis, sql, user, agent, headers } = await setUp(t)
  const places = placesOf('Tables')
  const OF_AUTHORS = /^(agents|agent_functions|agent_schedules)\./
  let finish = () => {}
  service.gateway.reply = inTurn(response => { openStream(response).end(call + 'data: [DONE]\n\n') }, response => {
    const model = openStream(response)
    finish = () => { model.end(answer) }
  })
  const execute = (key: string) => service.execute({ agentId: agent, messages: [{ role: 'user', content: 'A marked question' }] }, { ...headers, 'idempotency-key': key })
  let runId = ''

  t.test('while a run is under way', async t => {
    const asked = service.gateway.nextCall()
    const streaming = execute('a marked key')
    await asked
    await service.gateway.nextCall()
    t.same(await findInRedis(redis), new Map(), 'Redis has none of it')
    const found = await findInTables(sql)
    t.same(found.filter(place => !places.has(place)), [], 'all is listed')
    for (const place of ['agent_run_inputs.input', 'agent_run_checkpoints.record', 'agent_run_checkpoints.told']) t.ok(found.includes(place), place)
    finish()
    const told = await streaming
    runId = told.headers.get('x-run-id')!
    t.match(told.events.find(({ type }) => type === 'tool_call'), { arguments: { data: 'a marked word' } }, 'its reader is told everything')
    t.match(told.events.find(({ type }) => type === 'tool_result'), { result: 'The marked finding of a marked word' })
  })

  t.test('after its end the question is gone, and what quotes it', async t => {
    const found = await findInTables(sql)
    t.same(found.filter(place => !places.has(place)), [])
    t.same(found.filter(place => places.get(place)!.startsWith('the end')), [])
    t.same(found.filter(place => !OF_AUTHORS.test(place)), ['agent_run_steps.name', 'agent_run_traces.trace', 'agent_runs.idempotency_key', 'agent_runs.response', 'response_cache.response'])
    const { rows: [{ trace }] } = await sql.query('select trace::text from public.agent_run_traces where run_id = $1', [runId])
    t.notOk(trace.replaceAll(TOOL, '').includes(MARK), 'of the trace only the name of the tool')
  })

  let responseId = ''
  t.test('of a response what was sent is kept, where its client does not forbid it', async t => {
    service.gateway.reply = response => { openStream(response).end(answer) }
    const body = { model: agent, input: 'A marked question to a response', instructions: 'A marked instruction', metadata: { word: 'marked' } }
    t.equal((await service.request('POST', '/v1/responses', { headers, body: { ...body, store: false } })).status, 200)
    t.notOk((await findInTables(sql)).some(place => place.startsWith('agent_responses')))
    responseId = (await service.request('POST', '/v1/responses', { headers, body })).body.id
    const found = await findInTables(sql)
    t.same(found.filter(place => place.startsWith('agent_responses')), ['agent_responses.details', 'agent_responses.input'])
    t.same(found.filter(place => !places.has(place)), [])
  })

  t.test('of a response that is deleted nothing is left', async t => {
    const { id } = (await service.request('POST', '/v1/responses', { headers, body: { model: agent, input: 'Another marked question' } })).body
    t.match((await service.request('DELETE', `/v1/responses/${id}`, { headers })).body, { deleted: true })
    const { rows } = await sql.query('select response, erased, (select count(*)::int from public.agent_responses where run_id = r.id) as kept from public.agent_runs r where id = $1', [id.slice(5)])
    t.same(rows, [{ response: '', erased: true, kept: 0 }])
  })

  const askAsPage = (path: string, content: string) => service.request('POST', path, {
    headers, body: { threadId: 'A marked thread', runId: `a marked run ${content}`, messages: [{ id: 'm1', role: 'user', content }], context: [{ description: 'colour', value: 'marked' }] }
  })

  t.test('of a thread what its page has sent is kept with its latest run alone, and of other clients not at all', async t => {
    service.gateway.reply = response => { openStream(response).end(answer) }
    await askAsPage(`/ag-ui/${agent}`, 'A marked question without a page')
    t.notOk((await findInTables(sql)).includes('agent_run_chats.messages'))
    for (const content of ['The first marked question', 'The second marked question']) await askAsPage(`/copilotkit/agent/${agent}/run`, content)
    const found = await findInTables(sql)
    t.same(found.filter(place => place.startsWith('agent_run_chats')), ['agent_run_chats.chat_id', 'agent_run_chats.messages', 'agent_run_chats.page_run'])
    t.same(found.filter(place => !places.has(place)), [])
    t.match((await sql.query('select messages from public.agent_run_chats where messages is not null')).rows, [{ messages: [{ content: 'The second marked question' }] }])
    t.notOk(found.includes('agent_run_inputs.input'), 'what the page shows is not kept')
  })

  t.test('Redis has no text of a run that its process has ended', async t => {
    t.same(await findInRedis(redis), new Map())
  })

  t.test('Redis has the events of a run that its process has released, for two minutes', async t => {
    const { events } = service.app
    const released = randomUUID()
    events.open(released, 1)
    events.append(released, { type: 'chunk', content: 'The marked beginning' })
    events.leave(released)
    const found = await until(() => findInRedis(redis), found => [...found.values()].some(seconds => seconds > 0))
    t.same([...found.keys()], [`jeesi:run:${released}`])
    t.ok(found.get(`jeesi:run:${released}`)! <= 120)
  })

  t.test('a replay has the same events under the same numbers, and the answer to the letter', async t => {
    service.app.events.evict(runId)
    await redis.flushall()
    const replayed = parseStream(await (await fetch(`${service.url}/api/runs/${runId}/events`, { headers })).text())
    t.same(replayed.map(({ seq }) => seq), replayed.map((_event, index) => index + 1))
    t.match(replayed.find(({ type }) => type === 'tool_call'), { name: TOOL, arguments: {} })
    t.match(replayed.find(({ type }) => type === 'tool_result'), { name: TOOL, result: '' })
    t.match(replayed.find(({ type }) => type === 'reasoning'), { content: '' })
    t.match(replayed.at(-1), { type: 'done', response: 'A marked thought aloud. The marked answer' })
  })

  t.test('a schedule\'s question and answers are listed too', async t => {
    await sql.query(`insert into public.agent_schedules (agent_id, user_id, is_enabled, prompt_template, cron_expression, next_run_at)
      values ($1, $2, true, $3, '0 0 1 1 *', now())`, [agent, user, SCHEDULED])
    service.gateway.reply = response => { openStream(response).end(answer) }
    await until(async () => (await sql.query("select from public.scheduled_runs where status = 'completed' and user_id = $1", [user])).rowCount, count => count === 1, 60)
    const found = await findInTables(sql)
    t.same(found.filter(place => !places.has(place)), [])
    for (const place of ['scheduled_runs.generated_content', 'scheduled_runs.result', 'agent_schedules.prompt_template']) t.ok(found.includes(place), place)
  })

  t.test('after the retention only what its author has written is left, and a cached answer is none of it', async t => {
    await sql.query("update public.agent_runs set finished_at = now() - interval '31 days', error = '{\"code\": \"python_failed\", \"message\": \"a marked sentence\"}' where not erased")
    await sql.query("insert into public.agent_run_failures values ($1, 'a marked reason')", [runId])
    await sql.query("update public.scheduled_runs set completed_at = now() - interval '31 days', error = 'a marked error', error_message = 'a marked error', output_result = '{\"error\": \"marked\"}'")
    await service.app.database.call('erase_old_runs', { p_days: 30, p_limit: 500 })
    const found = await findInTables(sql)
    t.same(found.filter(place => !/deletion/.test(places.get(place)!)), [])
    t.same(found.filter(place => !OF_AUTHORS.test(place)), [])
    t.match((await endOf(service, runId, headers)).error, { code: 'python_failed' }, 'the code stays')
    t.equal((await service.request('GET', `/v1/responses/${responseId}`, { headers })).status, 404, 'a response has expired')
    t.match((await sql.query('select status, completed_at is not null as ended from public.scheduled_runs')).rows, [{ status: 'completed', ended: true }])
  })

  /** A firing so many days ago. @param by `service`, or the platform's runner, whose page shows what it has fired for as long as there is a row. */
  const insertFiring = async (by: 'service' | 'runner', text: string, days: number) => (await sql.query(`
    insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, generated_content, completed_at, scheduled_for)
      select id, agent_id, user_id, 'completed', $1, now() - make_interval(days => $2), case when $3 then now() - make_interval(days => $2) end
        from public.agent_schedules limit 1 returning id`, [text, days, by === 'service'])).rows[0].id as string

  t.test('a firing that the platform keeps as it is keeps no other from being erased', async t => {
    const id = await insertFiring('service', 'kept', 40)
    await insertFiring('service', 'old', 39)
    await sql.query(`alter table public.scheduled_runs add constraint kept check (id <> '${id}' or generated_content is not null)`)
    t.same(await service.app.database.call('erase_old_runs', { p_days: 30, p_limit: 500 }), { erased: 1 })
    t.same((await sql.query("select id, generated_content from public.scheduled_runs where generated_content in ('kept', 'old')")).rows, [{ id, generated_content: 'kept' }])
    await sql.query('alter table public.scheduled_runs drop constraint kept')
    await sql.query('delete from public.scheduled_runs where id = $1', [id])
  })

  t.test('the fault of a schedule, which is no firing for any time, goes too', async t => {
    const { rows: [{ id }] } = await sql.query(`insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, error, error_message, completed_at)
      select id, agent_id, user_id, 'failed', 'a fault', 'a fault', now() - interval '40 days' from public.agent_schedules limit 1 returning id`)
    t.same(await service.app.database.call('erase_old_runs', { p_days: 30, p_limit: 500 }), { erased: 1 })
    t.same((await sql.query('select error, error_message from public.scheduled_runs where id = $1', [id])).rows, [{ error: null, error_message: null }])
  })

  t.test('what a user or an agent has a shorter period for goes after that, and what others have stays', async t => {
    const { database } = service.app
    const set = (p_user_id: string | null, p_agent_id: string | null, p_days: number | null) => database.call('admin_set_retention', { p_admin_id: DEMO_USER, p_user_id, p_agent_id, p_days })
    const erase = () => eraseOldRuns(database, 30, () => false)
    const insertRun = async (userId: string, agentId: string, days: number) => (await sql.query(`
      insert into public.agent_runs (user_id, agent_id, status, request_hash, response, finished_at)
        values ($1, $2, 'succeeded', 'x', 'kept', now() - make_interval(days => $3)) returning id`, [userId, agentId, days])).rows[0].id as string
    const keptOf = async (ids: string[]) => (await sql.query("select id from public.agent_runs where id = any($1) and response = 'kept'", [ids])).rows.map(({ id }) => ids.indexOf(id)).sort()
    const otherAgent = randomUUID()
    const ids = [await insertRun(user, otherAgent, 8), await insertRun(user, otherAgent, 6), await insertRun(OTHER_USER, otherAgent, 8), await insertRun(OTHER_USER, agent, 8)]
    const firing = await insertFiring('service', 'kept', 8)
    const firings = async () => (await sql.query('select generated_content from public.scheduled_runs where id = $1', [firing])).rows
    await erase()
    t.same(await keptOf(ids), [0, 1, 2, 3], 'within the period of all')
    await set(user, null, 7)
    await erase()
    t.same(await keptOf(ids), [1, 2, 3], 'the user\'s that ended before')
    t.same(await firings(), [{ generated_content: null }], 'and firings')
    await set(null, agent, 7)
    await set(user, null, null)
    await set(OTHER_USER, null, 60)
    await erase()
    t.same(await keptOf(ids), [1, 2], 'the agent\'s too, and nothing of who has none any more, or a longer one')
    await sql.query('insert into public.retention_periods (agent_id, days) select gen_random_uuid(), 1 from generate_series(1, 998)')
    await t.rejects(set(null, DEMO_AGENT, 1), { code: 'bad_request', message: 'There are as many periods as there may be: 1000.' })
    t.match(await set(null, agent, 3), { days: 3 }, 'one that is there may be changed')
    await sql.query('insert into public.retention_periods (user_id, days) values ($1, 7)', [user])
    await sql.query(`alter table public.agent_runs add constraint kept check (id <> '${ids[1]}' or response = 'kept')`)
    await sql.query('update public.retention_periods set days = 5 where user_id = $1', [user])
    await sql.query('update public.retention_periods set days = 7 where user_id = $1', [OTHER_USER])
    await erase()
    t.same(await keptOf(ids), [1], 'what cannot be erased for one period keeps none of the others, however many there are')
    await sql.query('alter table public.agent_runs drop constraint kept')
    await sql.query('delete from public.retention_periods')
    await sql.query('delete from public.scheduled_runs where id = $1', [firing])
    await sql.query('delete from public.agent_runs where id = any($1)', [ids])
  })

  t.test('what the platform\'s own runner has fired stays: its page shows it, however old', async t => {
    const id = await insertFiring('runner', 'The platform\'s', 400)
    t.same(await service.app.database.call('erase_old_runs', { p_days: 30, p_limit: 500 }), { erased: 0 })
    t.same((await sql.query('select generated_content from public.scheduled_runs where id = $1', [id])).rows, [{ generated_content: 'The platform\'s' }])
  })

  t.test('after the deletion of the user nothing is left', async t => {
    service.gateway.reply = response => { openStream(response).write(call) }
    const asked = service.gateway.nextCall()
    const streaming = execute('another marked key')
    await asked
    await sql.query("insert into public.conversations (user_id, title) values ($1, 'A marked title')", [user])
    const later = service.gateway.calls.length
    await service.request('POST', '/v1/responses', { headers, body: { model: agent, input: 'The last marked question', background: true } })
    const told = askAsPage(`/copilotkit/agent/${agent}/run`, 'The last marked question of a page')
    await until(async () => service.gateway.calls.length, calls => calls > later + 1)
    for (const place of ['agent_responses.input', 'agent_run_chats.messages']) t.ok((await findInTables(sql)).includes(place), place)
    await sql.query('delete from auth.users where id = $1', [user])
    t.same(await findInTables(sql), [])
    await Promise.all([streaming, told])
    t.same(await findInTables(sql), [], 'nor does the process of a run under way write anything')
    for (const seconds of (await findInRedis(redis)).values()) t.ok(seconds > 0 && seconds <= 120)
  })

  t.test('the log has none of it at any time', async t => {
    t.same(service.logs.filter(line => line.replaceAll(TOOL, '').includes(MARK)), [])
  })
})

t.test('with KEEP_MESSAGES the question and the whole trace stay until the retention, without the agent', async t => {
  if (!await findPostgres(t) || !await findRedis(t)) return
  const { service, redis, sql, agent, headers } = await setUp(t, { KEEP_MESSAGES: 'true' })
  service.gateway.reply = inTurn(response => { openStream(response).end(call + 'data: [DONE]\n\n') }, response => { openStream(response).end(answer) })
  const told = await service.execute({ agentId: agent, messages: [{ role: 'user', content: 'A marked question' }] }, headers)
  const runId = told.headers.get('x-run-id')!
  const { rows: [{ input, trace }] } = await sql.query('select input, trace::text from public.agent_run_inputs join public.agent_run_traces using (run_id) where run_id = $1', [runId])
  t.same(input, { kind: 'execute', messages: [{ role: 'user', content: 'A marked question' }] })
  t.match(trace, 'a marked word')
  t.same(await findInRedis(redis), new Map())
  service.app.events.evict(runId)
  await redis.flushall()
  const replayed = parseStream(await (await fetch(`${service.url}/api/runs/${runId}/events`, { headers })).text())
  t.same(replayed, told.events, 'a replay is the same to the letter')
  await sql.query("update public.agent_runs set finished_at = now() - interval '31 days'")
  await service.app.database.call('erase_old_runs', { p_days: 30, p_limit: 500 })
  t.same((await findInTables(sql)).filter(place => !/^(agents|agent_functions)\./.test(place)), [])
})
