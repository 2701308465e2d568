import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { createPostgres, DEMO_AGENT, DEMO_USER, findPostgres, OTHER_USER, type Service, startService } from '../support/helper.js'

interface Stage { service: Service, sql (text: string, values?: unknown[]): Promise<any[]>, add (user: string, fields?: Record<string, unknown>): Promise<string> }

/** A service whose PostgreSQL has a small stack, as some have. */
async function open (t: Test): Promise<Stage> {
  const url = await createPostgres(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`alter database ${new URL(url).pathname.slice(1)} set max_stack_depth = '200kB'`)
  const service = await startService(t, { SUPABASE_DB_URL: url, SUPABASE_DB_POOL_MAX: '4', SCHEDULES: 'on' })
  t.teardown(() => client.end())
  const sql = async (text: string, values: unknown[] = []) => (await client.query(text, values)).rows
  return {
    service,
    sql,
    async add (user, fields = {}) {
      const row: Record<string, unknown> = { user_id: user, agent_id: DEMO_AGENT, is_enabled: true, cron_expression: '0 9 * * *', prompt_template: 'Hello', ...fields }
      const names = Object.keys(row)
      const [added] = await sql(`insert into public.agent_schedules (${names.join(', ')}) values (${names.map((_, i) => `$${i + 1}`).join(', ')}) returning id`, Object.values(row))
      return added.id
    }
  }
}

/** The longest that GET /health took meanwhile, asked every 100 ms, in milliseconds. */
async function slowestHealth ({ url }: Service, act: () => Promise<unknown>): Promise<number> {
  const ended = new AbortController()
  let slowest = 0
  const asking = (async () => {
    while (!ended.signal.aborted) {
      await delay(100, undefined, { signal: ended.signal })
      const begunAt = performance.now()
      await (await fetch(`${url}/health`)).arrayBuffer()
      slowest = Math.max(slowest, performance.now() - begunAt)
    }
  })().catch(() => {})
  await act()
  ended.abort()
  await asking
  return slowest
}

t.test('schedules of others', async t => {
  if (!await findPostgres(t)) return
  const stage = await open(t)
  const { service, sql, add } = stage
  const look = () => service.app.schedules.look()

  t.test('a template nested 5,000 deep has its own schedule alone at fault', async t => {
    const deep = await add(OTHER_USER, { output_action: 'api_call', output_config: `{"url": "https://example.com/", "body_template": ${'['.repeat(5000)}${']'.repeat(5000)}}` })
    const plain = await add(DEMO_USER)
    await look()
    const [planned] = await sql('select next_run_at from public.agent_schedules where id = $1', [plain])
    t.ok(planned.next_run_at)
    t.match((await sql('select next_run_at, unplanned_since, last_result from public.agent_schedules where id = $1', [deep]))[0],
      { next_run_at: null, unplanned_since: Infinity, last_result: { success: false, error: String } })
    await sql('delete from public.agent_schedules')
  })

  t.test('three hundred far-off schedules of one user delay neither another user\'s planning nor anybody\'s requests', async t => {
    await Promise.all(Array.from({ length: 300 }, () => add(OTHER_USER, { cron_expression: '59 23 29 2 5L' })))
    const plain = await add(DEMO_USER)
    const slowest = await slowestHealth(service, look)
    const [planned] = await sql('select next_run_at from public.agent_schedules where id = $1', [plain])
    t.ok(planned.next_run_at, 'by the first look')
    const [{ left }] = await sql('select count(*)::integer as left from public.agent_schedules where next_run_at is null and unplanned_since < \'infinity\'')
    t.equal(left, 0, 'nor do the others wait')
    t.ok(slowest < 1_000, `${slowest} ms`)
    await sql('delete from public.agent_schedules')
  })

  t.test('a user without credits has a few failed rows an hour, however many schedules there are, and another\'s run begins', async t => {
    await sql('update public.credit_balances set credits_remaining = 0 where user_id = $1', [OTHER_USER])
    await Promise.all(Array.from({ length: 100 }, () => add(OTHER_USER, { cron_expression: '* * * * *', next_run_at: new Date(Date.now() - 60_000) })))
    const plain = await add(DEMO_USER, { next_run_at: new Date(Date.now() - 1_000) })
    const isOver = async () => {
      const [{ due }] = await sql('select count(*)::integer as due from public.agent_schedules where next_run_at <= now()')
      const [{ begun }] = await sql('select count(*)::integer as begun from public.scheduled_runs where schedule_id = $1 and run_id is not null', [plain])
      return due === 0 && begun > 0
    }
    const slowest = await slowestHealth(service, async () => { while (!await isOver()) await look() })
    t.ok(slowest < 1_000, `${slowest} ms`)
    const [{ failed }] = await sql('select count(*)::integer as failed from public.scheduled_runs where status::text = \'failed\' and user_id = $1', [OTHER_USER])
    t.ok(failed >= 20 && failed <= 40, `${failed}`)
    t.match(await sql('select distinct unplanned_since > now() as rests from public.agent_schedules where user_id = $1 and next_run_at is null', [OTHER_USER]), [{ rests: true }])
  })
})
