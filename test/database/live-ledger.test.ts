import t, { type Test } from 'tap'
import { createLive, LIVE_AGENTS, LIVE_USERS, type LiveDatabase, SERVICE, user } from '../support/live/project.js'

const { admin, pro, lastCredit, overdrawn } = LIVE_USERS

t.test('the ledger of a live project', async t => testLedger(t, await createLive(t)))

async function testLedger (t: Test, live: LiveDatabase): Promise<void> {
  const serve = (sql: string, values?: unknown[]) => live.as(SERVICE, sql, values)
  const changes = (userId: string) => live.query(`select kind, credits::int, credits_before::int as from, credits_after::int as to, db_role, jwt_role
    from public.credit_changes where user_id = $1 and kind <> 'opening' order by created_at`, [userId])
  const use = (userId: string) => live.query(`select credits_used, operation_type, agent_id, metadata from public.credit_usage
    where user_id = $1 and created_at > now() - interval '1 hour' order by created_at`, [userId])
  const remaining = async (userId: string) => (await live.query('select credits_remaining from public.credit_balances where user_id = $1', [userId]))[0]?.credits_remaining
  const problems = async () => (await live.query("select public.audit_credits() -> 'problems' as problems"))[0]!.problems
  const addsUp = async (t: Test) => t.same(await problems(), [], 'it adds up')
  /** A user with a balance, and an empty ledger of this hour. */
  async function createUser (credits: number): Promise<string> {
    const [row] = await live.query('insert into auth.users (id) values (gen_random_uuid()) returning id')
    await live.query('insert into public.credit_balances (user_id, credits_remaining) values ($1, $2)', [row!.id, credits])
    return row!.id
  }
  /** What agent-chat and others do: they never look at the error of the first call. */
  async function chargeAsLive (userId: string, credits: number, operation = 'agent_chat', agentId: string | null = null): Promise<void> {
    await serve('select public.deduct_credits($1, $2)', [userId, credits]).catch(() => {})
    await serve('insert into public.credit_usage (user_id, agent_id, credits_used, operation_type, metadata) values ($1, $2, $3, $4, $5)',
      [userId, agentId, credits, operation, { live: true }])
  }

  t.test('after the migrations it adds up, what was overdrawn and plans that nobody knows included', async t => {
    await addsUp(t)
    t.equal(await remaining(overdrawn), 0)
    t.match(await changes(overdrawn), [{ kind: 'adjustment', credits: 5 }])
    t.match((await serve('select public.get_credits($1) as credits', [overdrawn]))[0], { credits: { planType: 'team-2023', creditsRemaining: 0 } })
  })

  t.test('every change of a balance by others enters itself: from what, to what, by which role', async t => {
    const buyer = await createUser(3)
    const upsert = `insert into public.credit_balances (user_id, credits_remaining, plan_type) values ($1, $2, $3)
      on conflict (user_id) do update set credits_remaining = excluded.credits_remaining, plan_type = excluded.plan_type`
    await serve(upsert, [buyer, 103, 'basic'])
    await serve(upsert, [buyer, 500, 'pro'])
    await serve(upsert, [buyer, 500, 'pro'])
    await serve("update public.credit_balances set plan_type = 'free', credits_used_this_month = 0 where user_id = $1", [buyer])
    await serve('update public.credit_balances set credits_remaining = 50 where user_id = $1', [buyer])
    await live.query('update public.credit_balances set credits_remaining = credits_remaining + 1 where user_id = $1', [buyer])
    const byService = { kind: 'change', db_role: 'service_role', jwt_role: 'service_role' }
    t.same(await changes(buyer), [
      { ...byService, credits: 100, from: 3, to: 103 },
      { ...byService, credits: 397, from: 103, to: 500 },
      { ...byService, credits: -450, from: 500, to: 50 },
      { kind: 'change', credits: 1, from: 50, to: 51, db_role: 'postgres', jwt_role: null }
    ], 'a change of the plan alone is none')
    t.same(await use(buyer), [], 'and none of it is use')
    await addsUp(t)
  })

  t.test('who says that they have entered a part of a change has the rest of it noted', async t => {
    const somebody = await createUser(3)
    await serve('update public.credit_balances set credits_remaining = 10, credits_entered = 3 where user_id = $1', [somebody])
    t.match(await changes(somebody), [{ credits: 4, from: 3, to: 10 }])
    t.same(await live.query('select credits_entered from public.credit_balances where user_id = $1', [somebody]), [{ credits_entered: 0 }])
    await t.rejects(serve('insert into public.credit_balances (user_id, credits_remaining, credits_entered) values ($1, 1, 1)', [somebody]), { code: '23514' })
    await serve("select public.enter_change($1, 'adjustment', 3, null, null)", [somebody])
    await addsUp(t)
  })

  t.test('a balance that is given to another user is noted for both', async t => {
    const [one, other] = [await createUser(7), await createUser(0)]
    await live.query('delete from public.credit_balances where user_id = $1', [other])
    await live.query('update public.credit_balances set user_id = $2, credits_remaining = 8 where user_id = $1', [one, other])
    t.match(await changes(one), [{ credits: -7, from: 7, to: null }])
    t.match((await changes(other)).at(-1), { credits: 8, from: null, to: 8 })
    await addsUp(t)
  })

  t.test('a caller\'s own entry stands for what deduct_credits has taken, whatever it is called, with an agent or without', async t => {
    const caller = await createUser(20)
    const operations = ['agent_chat', 'agent_creation', 'scheduled_run', 'deduction', 'grant', 'adjustment', 'agent_execution']
    for (const [index, operation] of operations.entries()) await chargeAsLive(caller, index % 2 + 1, operation, index % 2 ? LIVE_AGENTS.heavy : null)
    t.same(await use(caller), operations.map((operation_type, index) => (
      { credits_used: index % 2 + 1, operation_type, agent_id: index % 2 ? LIVE_AGENTS.heavy : null, metadata: { live: true } })))
    t.equal(await remaining(caller), 10)
    await serve('select public.deduct_credits($1, 3)', [caller])
    t.match((await use(caller)).at(-1), { credits_used: 3, operation_type: 'deduction', metadata: { by: 'deduct_credits' } }, 'without one it enters itself')
    await addsUp(t)
  })

  t.test('a caller\'s own entry stands for a change of that size that it made itself', async t => {
    const caller = await createUser(20)
    const take = () => serve('update public.credit_balances set credits_remaining = credits_remaining - 2 where user_id = $1', [caller])
    const enter = () => serve("insert into public.credit_usage (user_id, credits_used, operation_type) values ($1, 2, 'image')", [caller])
    await take()
    await enter()
    t.same(await changes(caller), [])
    t.match(await use(caller), [{ credits_used: 2, operation_type: 'image' }])
    await addsUp(t)
    await live.query("update public.credit_usage set created_at = now() - interval '2 minutes' where user_id = $1", [caller])
    await take()
    await live.query("update public.credit_changes set created_at = now() - interval '2 minutes' where user_id = $1", [caller])
    await enter()
    t.match((await use(caller)).at(-1), { credits_used: 0, metadata: { unpaid: 2 } }, 'within a minute')
    await addsUp(t)
  })

  t.test('an entry after a refused or missing deduction counts zero and says what is unpaid', async t => {
    const poor = await createUser(1)
    await chargeAsLive(poor, 2)
    await chargeAsLive(poor, 1)
    for (const [credits, metadata] of [[3, null], [4, '"words"'], [5, '[1]']]) {
      await serve("insert into public.credit_usage (user_id, credits_used, operation_type, metadata) values ($1, $2, 'agent_chat', $3)", [poor, credits, metadata])
    }
    await serve("insert into public.credit_usage (user_id, credits_used, operation_type) values ($1, 0, 'free')", [poor])
    await t.rejects(serve("insert into public.credit_usage (user_id, credits_used, operation_type) values ($1, null, 'x')", [poor]), { code: '23502' })
    t.same((await use(poor)).map(({ credits_used, metadata }) => [credits_used, metadata]), [
      [0, { live: true, unpaid: 2 }], [1, { live: true }], [0, { unpaid: 3 }], [0, { unpaid: 4 }], [0, { unpaid: 5 }], [0, {}]
    ])
    await addsUp(t)
  })

  t.test('of three requests at once of a user with one credit one is paid for', async t => {
    for (let round = 0; round < 5; round++) {
      const poor = await createUser(1)
      await Promise.all([1, 2, 3].map(() => chargeAsLive(poor, 1)))
      t.same((await use(poor)).map(({ credits_used, metadata }) => [credits_used, metadata.unpaid ?? 0]).sort(), [[0, 1], [0, 1], [1, 0]])
      t.equal(await remaining(poor), 0)
    }
    await addsUp(t)
  })

  t.test('an entry below zero is no use: it explains a change upwards, or gives nothing', async t => {
    const buyer = await createUser(0)
    await serve('update public.credit_balances set credits_remaining = 30 where user_id = $1', [buyer])
    for (const credits of [-30, -30]) {
      await serve("insert into public.credit_usage (user_id, credits_used, operation_type, metadata) values ($1, $2, 'purchase', '{\"invoice\": 7}')", [buyer, credits])
    }
    t.same(await live.query("select credits::int, reason, metadata from public.credit_changes where user_id = $1 and kind = 'change' order by created_at", [buyer]),
      [{ credits: 30, reason: 'purchase', metadata: { invoice: 7 } }, { credits: 0, reason: 'purchase', metadata: { invoice: 7, unpaid: -30 } }])
    t.same(await use(buyer), [])
    t.equal(await remaining(buyer), 30)
    for (const credits of [0, -31]) await t.rejects(serve("select public.grant_credits($1, $2, 'x')", [buyer, credits]), { code: 'PT400' })
    await addsUp(t)
  })

  t.test('a balance that is deleted and inserted again while a run holds credits of it adds up, and the run is paid for', async t => {
    const holder = await createUser(10)
    const begin = async () => (await serve("select public.begin_run($1, $2, 'x', '{}', gen_random_uuid(), 60) -> 'run' ->> 'runId' as id", [holder, LIVE_AGENTS.heavy]))[0]!.id
    const finish = (id: string) => serve("select public.finish_run($1, 1, 'succeeded', 'Hi', 'stop', '{\"totalTokens\": 3}', 1, 'm', null)", [id])
    const runs = [await begin(), await begin(), await begin()]
    await finish(runs[0]!)
    await live.query('delete from public.credit_balances where user_id = $1', [holder])
    await addsUp(t)
    await finish(runs[1]!)
    await addsUp(t)
    await live.query('insert into public.credit_balances (user_id, credits_remaining) values ($1, 4)', [holder])
    await addsUp(t)
    await finish(runs[2]!)
    t.equal(await remaining(holder), 3)
    t.same((await use(holder)).map(({ credits_used }) => credits_used), [1, 1], 'where there was no balance nothing was charged')
    t.same((await changes(holder)).map(({ credits }) => credits), [-9, 4])
    await addsUp(t)
  })

  t.test('users see what they used, and admins the whole ledger; users write neither', async t => {
    await serve("select public.grant_credits($1, 5, 'Sorry')", [lastCredit])
    t.same(await live.as(user(lastCredit), 'select count(*)::int from public.credit_changes'), [{ count: 0 }])
    t.match(await live.as(user(admin), 'select reason, credits::int from public.credit_changes where user_id = $1 and kind = $2', [lastCredit, 'grant']), [{ reason: 'Sorry', credits: 5 }])
    const [{ ledger }] = await serve('select public.admin_get_ledger($1, $2, 10) as ledger', [admin, lastCredit]) as [{ ledger: { entries: Array<Record<string, unknown>>, credits: object } }]
    t.match(ledger.entries, [{ creditsUsed: -5, operationType: 'grant', metadata: { reason: 'Sorry', from: 1, to: 6 } }, { creditsUsed: -2, operationType: 'opening' }, { creditsUsed: 1, operationType: 'agent_chat' }])
    for (const table of ['credit_changes', 'credit_settings', 'credit_usage']) {
      await t.rejects(live.as(user(pro), `delete from public.${table}`), { code: '42501' })
      await t.rejects(live.as(user(pro), `insert into public.${table} default values`), { code: '42501' })
    }
  })

  t.test('the audit finds what was done to the ledger itself, also of users who have no balance; what is accepted is entered once', async t => {
    const [one, other] = [await createUser(5), await createUser(5)]
    await live.query('delete from public.credit_balances where user_id = $1', [other])
    await addsUp(t)
    for (const id of [one, other]) await live.query("insert into public.credit_usage (user_id, run_id, credits_used, operation_type) values ($1, gen_random_uuid(), 2, 'x')", [id])
    const found = (await problems()).filter(({ kind }: { kind: string }) => kind === 'balance')
    t.match(found.sort((a: { expected: number }, b: { expected: number }) => a.expected - b.expected), [
      { userId: other, expected: -2, found: 0, message: /no balance/ }, { userId: one, expected: 3, found: 5 }])
    t.match(await serve("select public.adjust_ledger('History') as it"), [{ it: { adjusted: 2 } }])
    t.match(await serve("select public.adjust_ledger('History') as it"), [{ it: { adjusted: 0 } }])
    await live.query('delete from public.credit_usage where user_id = any ($1)', [[one, other]])
    await serve("select public.adjust_ledger('Taken back')")
    await addsUp(t)
  })
}
