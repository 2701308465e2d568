import t, { type Test } from 'tap'
import { createLive, LIVE_AGENTS, LIVE_USERS, type LiveDatabase, SERVICE, user } from '../support/live/project.js'

t.test('new and deleted users of a live project', async t => {
  const live = await createLive(t)
  await testNewUsers(t, live)
  await testDeletedUsers(t, live)
})

const GIVEN = { credits_remaining: 5, credits_used_this_month: 0, plan_type: 'basic' }
const CARD = "insert into public.credit_balances (user_id, credits_remaining, credits_used_this_month, plan_type) values ($1, 5, 0, 'basic')"

async function testNewUsers (t: Test, live: LiveDatabase): Promise<void> {
  const signUp = async () => (await live.query('insert into auth.users (id) values (gen_random_uuid()) returning id'))[0]!.id as string
  const balance = (id: string) => live.query('select credits_remaining, credits_used_this_month, plan_type from public.credit_balances where user_id = $1', [id])
  const first = (id: string) => live.query("select kind, credits::int from public.credit_changes where user_id = $1 and kind in ('sign_up', 'opening')", [id])
  const credits = async (id: string) => (await live.as(SERVICE, 'select public.get_credits($1) as credits', [id]))[0]!.credits
  const begin = (id: string) => live.as(SERVICE, "select public.begin_run($1, $2, 'x', '{}', gen_random_uuid(), 60)", [id, LIVE_AGENTS.heavy])
  const addsUp = async (t: Test) => t.same(await live.query("select public.audit_credits() -> 'problems' as problems"), [{ problems: [] }])

  t.test('who had no balance before the migrations has one since, noted as such', async t => {
    t.same(await balance(LIVE_USERS.newcomer), [GIVEN])
    t.match(await live.query('select kind, credits::int, reason from public.credit_changes where user_id = $1', [LIVE_USERS.newcomer]),
      [{ kind: 'sign_up', credits: 5, reason: /by the migration/ }])
  })

  t.test('the credits card makes a user\'s balance, which begins with what the platform gives, whatever is asked for', async t => {
    const [plain, greedy] = [await signUp(), await signUp()]
    t.same(await live.as(user(plain), `${CARD} returning credits_remaining, credits_used_this_month, plan_type`, [plain]), [GIVEN])
    await live.as(user(greedy), "insert into public.credit_balances (user_id, credits_remaining, credits_used_this_month, plan_type) values ($1, 1000000, -9, 'enterprise')", [greedy])
    t.same(await balance(greedy), [GIVEN])
    t.same(await first(greedy), [{ kind: 'sign_up', credits: 5 }])
    await t.rejects(live.as(user(plain), CARD, [await signUp()]), { code: '42501' }, 'for oneself alone')
    for (const column of ['credits_reserved', 'credits_entered']) {
      await t.rejects(live.as(user(plain), `insert into public.credit_balances (user_id, ${column}) values ($1, 0)`, [plain]), { code: '42501' }, column)
    }
    await t.rejects(live.as(user(plain), CARD, [plain]), { code: '23505' }, 'once')
    await t.rejects(live.as(user(plain), `${CARD} on conflict (user_id) do update set credits_remaining = 9`, [plain]), { code: '42501' })
    await live.as(user(plain), `${CARD} on conflict do nothing`, [plain])
    t.same(await balance(plain), [GIVEN])
    await addsUp(t)
  })

  t.test('of two inserts at once one makes the balance, and so of a page and a run', async t => {
    const [twice, both] = [await signUp(), await signUp()]
    const results = await Promise.allSettled([1, 2, 3].map(() => live.as(user(twice), CARD, [twice])))
    t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    t.same(await balance(twice), [GIVEN])
    const [, run, other] = await Promise.allSettled([live.as(user(both), CARD, [both]), begin(both), begin(both)])
    t.match([run.status, other.status], ['fulfilled', 'fulfilled'])
    t.match(await credits(both), { creditsRemaining: 3, creditsReserved: 2 })
    t.same(await first(both), [{ kind: 'sign_up', credits: 5 }])
    await addsUp(t)
  })

  t.test('after a deletion of the balance nothing is given again', async t => {
    const again = await signUp()
    await live.as(user(again), CARD, [again])
    await live.as(SERVICE, 'delete from public.credit_balances where user_id = $1', [again])
    t.match(await credits(again), { creditsRemaining: 0 })
    await t.rejects(begin(again), { code: 'PT402' })
    await live.as(user(again), CARD, [again])
    t.same(await balance(again), [{ ...GIVEN, credits_remaining: 0 }])
    await addsUp(t)
  })

  t.test('who comes by the API first is told of the same and gets it; also who is granted or charged first', async t => {
    const [caller, granted, charged] = [await signUp(), await signUp(), await signUp()]
    t.same(await credits(caller), { creditsRemaining: 5, creditsReserved: 0, creditsUsedThisMonth: 0, planType: 'basic' })
    t.same(await balance(caller), [], 'told only')
    await begin(caller)
    t.match(await credits(caller), { creditsRemaining: 4, creditsReserved: 1, planType: 'basic' })
    await live.as(SERVICE, "select public.grant_credits($1, 20, 'Welcome')", [granted])
    t.match(await credits(granted), { creditsRemaining: 25 })
    await live.as(SERVICE, 'select public.deduct_credits($1, 2)', [charged])
    t.match(await credits(charged), { creditsRemaining: 3 })
    await t.rejects(begin('ffffffff-0000-4000-8000-000000000009'), { code: 'PT402' }, 'who does not exist gets nothing')
    await addsUp(t)
  })

  t.test('what a payment sets for a user without a balance stays as it is', async t => {
    const buyer = await signUp()
    const upsert = `insert into public.credit_balances (user_id, credits_remaining, credits_used_this_month, plan_type) values ($1, $2, 3, 'pro')
      on conflict (user_id) do update set credits_remaining = excluded.credits_remaining, plan_type = excluded.plan_type returning credits_remaining, plan_type`
    t.same(await live.as(SERVICE, upsert, [buyer, 100]), [{ credits_remaining: 100, plan_type: 'pro' }])
    t.same(await live.as(SERVICE, upsert, [buyer, 500]), [{ credits_remaining: 500, plan_type: 'pro' }])
    t.same(await first(buyer), [{ kind: 'opening', credits: 100 }])
    await addsUp(t)
  })

  t.test('how much it is, is a setting; without its row it is five', async t => {
    await live.as(SERVICE, 'update public.credit_settings set sign_up_credits = 20')
    const [rich, poor, five] = [await signUp(), await signUp(), await signUp()]
    await live.as(user(rich), CARD, [rich])
    t.match(await credits(rich), { creditsRemaining: 20 })
    await live.as(SERVICE, 'update public.credit_settings set sign_up_credits = 0')
    await live.as(user(poor), CARD, [poor])
    t.match(await credits(poor), { creditsRemaining: 0 })
    await live.as(SERVICE, 'update public.credit_settings set sign_up_credits = 20')
    await live.as(SERVICE, 'delete from public.credit_balances where user_id = $1', [poor])
    await live.as(user(poor), CARD, [poor])
    t.match(await credits(poor), { creditsRemaining: 0 }, 'nothing was given, but it was the first')
    await live.as(SERVICE, 'delete from public.credit_settings')
    await live.as(user(five), CARD, [five])
    t.match(await credits(five), { creditsRemaining: 5 })
    await t.rejects(live.query('insert into public.credit_settings values (false, 7)'), { code: '23514' })
    await live.query('insert into public.credit_settings default values')
    await addsUp(t)
  })
}

/** Whatever tables there are: each row that has the text in any of its columns. */
async function findText (live: LiveDatabase, text: string): Promise<string[]> {
  const tables = await live.query("select schemaname || '.' || quote_ident(tablename) as name from pg_tables where schemaname in ('public', 'auth') order by 1")
  const found = []
  for (const { name } of tables) if ((await live.query(`select from ${name} t where t::text like $1`, [`%${text}%`])).length > 0) found.push(name)
  return found
}

async function testDeletedUsers (t: Test, live: LiveDatabase): Promise<void> {
  const call = async (sql: string, values: unknown[]) => (await live.as(SERVICE, sql, values))[0]
  const begin = async (id: string, text: string, key: string | null = null) => (await call('select public.begin_run($1, $2, $3, $4, gen_random_uuid(), 60, $5) -> \'run\' ->> \'runId\' as id',
    [id, LIVE_AGENTS.writer, text, { messages: [{ role: 'user', content: text }] }, key]))!.id as string
  const finish = (run: string, text: string) => live.as(SERVICE, "select public.finish_run($1, 1, 'succeeded', $2, 'stop', '{\"totalTokens\": 3}', 1, 'm', null, $3, true)", [run, text, JSON.stringify([{ text }])])
  const record = (run: string, text: string) => live.as(SERVICE, "select public.record_step($1, 1, 1, '{\"kind\": \"model\", \"credits\": 1}', $2, 2, $3)",
    [run, { text }, { first: 1, events: [{ text }] }])

  t.test('deleting a user erases what they asked and were answered from every table, and leaves a ledger that adds up', async t => {
    const text = 'a secret question'
    await live.query('update public.agents set cache_seconds = 60, temperature = 0 where id = $1', [LIVE_AGENTS.writer])
    const [{ id }] = await live.query('insert into auth.users (id) values (gen_random_uuid()) returning id') as [{ id: string }]
    await live.as(SERVICE, "select public.grant_credits($1, 20, 'Welcome')", [id])
    await finish(await begin(id, text, `key ${text}`), text)
    await live.query('update public.agents set cache_seconds = null where id = $1', [LIVE_AGENTS.writer])
    const underWay = await begin(id, text)
    await record(underWay, text)
    await begin(id, `${text}, waiting`)
    const [schedule] = await live.query('insert into public.agent_schedules (agent_id, user_id, prompt_template) values ($1, $2, $3) returning id', [LIVE_AGENTS.shared, id, text])
    await live.query("insert into public.scheduled_runs (schedule_id, agent_id, user_id, status, generated_content) values ($1, $2, $3, 'completed', $4)", [schedule!.id, LIVE_AGENTS.shared, id, text])
    t.same(await findText(live, text), ['public.agent_run_checkpoints', 'public.agent_run_inputs', 'public.agent_run_traces', 'public.agent_runs',
      'public.agent_schedules', 'public.response_cache', 'public.scheduled_runs'])

    await live.query('delete from auth.users where id = $1', [id])
    t.same(await findText(live, text), [])
    t.same(await live.query("select public.audit_credits() -> 'problems' as problems"), [{ problems: [] }])
    for (const write of [() => record(underWay, text), () => finish(underWay, text)]) await t.rejects(write(), { code: 'PT409' }, 'its process is refused')
    t.same(await live.query('select distinct status, credits_reserved, finished_at is null as open from public.agent_runs where user_id = $1 order by status', [id]),
      [{ status: 'cancelled', credits_reserved: 0, open: false }, { status: 'succeeded', credits_reserved: 0, open: false }])
    t.same(await findText(live, text), [])
    t.same((await live.query('select from public.credit_changes where user_id = $1 union all select from public.credit_usage where user_id = $1', [id])).length, 0)
  })

  t.test('deleting an agent\'s owner leaves others their runs of it, and their ledger', async t => {
    const [{ id }] = await live.query('insert into auth.users (id) values (gen_random_uuid()) returning id') as [{ id: string }]
    const run = await begin(id, 'Hello')
    await finish(run, 'Good day')
    await live.query('delete from auth.users where id = $1', [LIVE_USERS.pro])
    t.match(await call('select public.get_run($1, $2) as run', [id, run]), { run: { response: 'Good day' } })
    t.same(await live.query('select credits_used, agent_id from public.credit_usage where user_id = $1', [id]), [{ credits_used: 1, agent_id: null }])
    t.same(await live.query("select public.audit_credits() -> 'problems' as problems"), [{ problems: [] }])
  })
}
