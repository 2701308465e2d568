import { readFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { listMigrations, migrate } from '../../src/database/migrations.js'
import { LIVE_AGENTS, LIVE_USERS, type LiveDatabase, makeLive, openLive, SERVICE } from '../support/live/project.js'

t.test('a live project that has release 0.2.0', async t => testUpgrade(t, await openLive(t)))

/** The last migration of release 0.2.0. */
const RELEASED = '20261129000100'
const { admin, pro, lastCredit, newcomer } = LIVE_USERS
const GONE = 'ffffffff-0000-4000-8000-000000000001'

async function testUpgrade (t: Test, live: LiveDatabase): Promise<void> {
  const apply = async (isWanted: (version: string) => boolean) => {
    for (const file of await listMigrations()) if (isWanted(file.split('_')[0]!)) await live.run(await readFile(new URL(`../../supabase/migrations/${file}`, import.meta.url), 'utf8'))
  }
  const call = (sql: string, values?: unknown[]) => live.as(SERVICE, sql, values)
  const run = async (userId: string) => {
    const [row] = await call("select public.begin_run($1, $2, 'x', '{}', gen_random_uuid(), 60) -> 'run' ->> 'runId' as id", [userId, LIVE_AGENTS.heavy])
    await call("select public.finish_run($1, 1, 'succeeded', 'An answer', 'stop', '{\"totalTokens\": 3}', 1, 'm', null, '[]', true)", [row!.id])
  }
  await makeLive(live)
  await apply(version => version <= RELEASED)
  await run(pro)
  await call("select public.grant_credits($1, 20, 'Sorry', $2)", [pro, admin])
  await call('select public.deduct_credits($1, 2)', [pro])
  await call('update public.credit_balances set credits_remaining = 500 where user_id = $1', [admin])
  await call("select public.adjust_ledger('Purchases of May')")
  await call('update public.credit_balances set credits_remaining = 2 where user_id = $1', [lastCredit])
  await live.query('insert into auth.users (id) values ($1)', [GONE])
  await call("select public.grant_credits($1, 3, 'Welcome')", [GONE])
  await run(GONE)
  await live.query('delete from auth.users where id = $1', [GONE])
  t.equal((await live.query('select from public.agent_runs where user_id = $1 and response <> $2', [GONE, ''])).length, 1, 'what 0.2.0 leaves of a deleted user')

  await live.query(`insert into public.api_keys (user_id, key_name, key_hash, key_prefix, created_at) values
    ($1, 'First', 'same', 'jsk_', now() - interval '2 days'), ($2, 'Copy', 'same', 'jsk_', now() - interval '1 day'), ($3, 'Late copy', 'same', 'jsk_', now()),
    ($2, 'Own', 'own', 'jsk_', now())`, [pro, admin, lastCredit])
  const keys = () => live.query("select key_name, key_hash ~ '^double of ' as is_double, is_active from public.api_keys where key_name in ('First', 'Copy', 'Late copy', 'Own') order by key_name")

  await apply(version => version > RELEASED)
  t.same(await live.query('select operation_type, credits_used from public.credit_usage where user_id = $1 order by created_at', [pro]), [
    { operation_type: 'agent_runtime', credits_used: 1 },
    { operation_type: 'scheduled_run', credits_used: 2 },
    { operation_type: 'agent_execution', credits_used: 1 },
    { operation_type: 'deduction', credits_used: 2 }
  ], 'what was used stays')
  t.same(await live.query('select kind, credits::int, reason, metadata from public.credit_changes where user_id = $1 order by created_at', [pro]), [
    { kind: 'opening', credits: 483, reason: null, metadata: {} },
    { kind: 'grant', credits: 20, reason: 'Sorry', metadata: { grantedBy: admin } }
  ], 'what was given stands apart')
  t.match(await live.query("select credits::int, reason from public.credit_changes where user_id = $1 and kind = 'adjustment'", [admin]), [{ credits: 458, reason: 'Purchases of May' }])
  t.match(await live.query('select credits_remaining from public.credit_balances where user_id = $1', [newcomer]), [{ credits_remaining: 5 }])
  t.same(await live.query("select to_regclass('public.credit_openings') as openings, to_regproc('public.replace_bare_deduction') as replace"), [{ openings: null, replace: null }])
  t.same(await live.query('select response, erased from public.agent_runs where user_id = $1', [GONE]), [{ response: '', erased: true }], 'and nothing of who was deleted')
  t.equal((await live.query('select from public.agent_run_inputs')).length, 1, 'another\'s is left')

  const repaired = [
    { key_name: 'Copy', is_double: true, is_active: false },
    { key_name: 'First', is_double: false, is_active: true },
    { key_name: 'Late copy', is_double: true, is_active: false },
    { key_name: 'Own', is_double: false, is_active: true }
  ]
  t.same(await keys(), repaired, 'of keys with one hash the oldest is left')
  t.equal((await live.query("select from public.api_keys where key_hash like 'double of ' || (select id from public.api_keys where key_name = 'First') || '%'")).length, 2, 'and named by the others')
  await t.rejects(live.query("insert into public.api_keys (user_id, key_name, key_hash, key_prefix) values ($1, 'Again', 'same', 'jsk_')", [admin]), /api_keys_by_hash/)

  const problems = async () => (await live.query("select public.audit_credits() -> 'problems' as problems"))[0]!.problems
  t.match(await problems(), [{ userId: lastCredit, expected: 1, found: 2 }], 'what nobody had entered before is history')
  t.match((await problems()).length, 1)
  await call("select public.adjust_ledger('Before the ledger noted such')")
  t.same(await problems(), [])

  await call('select public.deduct_credits($1, 1)', [pro])
  const rows = () => live.query(`select c::text as row from public.credit_changes c union all select u::text from public.credit_usage u
    union all select b::text from public.credit_balances b order by 1`)
  const before = await rows()
  await apply(() => true)
  t.same(await rows(), before, 'applied again, all of it changes nothing')
  t.same(await keys(), repaired)
  t.same(await problems(), [])
  t.ok((await migrate(live)).length > 0, 'nor where it is not known that it was applied')
  t.same(await rows(), before)
}
