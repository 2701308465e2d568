import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import t, { type Test } from 'tap'
import { listMigrations, migrate, type SqlRunner } from '../src/database/migrations.js'
import { createPostgres, DEMO_AGENT, DEMO_USER, findPostgres, OTHER_USER } from './helper.js'

t.test('migrations on PGlite', async t => testMigrations(t, async t => {
  const pglite = await PGlite.create()
  t.teardown(() => pglite.close())
  return {
    async run (sql) { await pglite.exec(sql) },
    async query (sql, values) { return (await pglite.query<Record<string, unknown>>(sql, values)).rows }
  }
}))

t.test('migrations on PostgreSQL', async t => {
  if (!await findPostgres(t)) return
  await testMigrations(t, async t => {
    const client = new pg.Client({ connectionString: await createPostgres(t, { migrated: false }) })
    await client.connect()
    t.teardown(() => client.end())
    return {
      async run (sql) { await client.query(sql) },
      async query (sql, values) { return (await client.query(sql, values)).rows }
    }
  })
})

async function testMigrations (t: Test, open: (t: Test) => Promise<SqlRunner>): Promise<void> {
  const sql = await open(t)

  t.test('applied twice they change nothing the second time, and rows that a user changed stay as they are', async t => {
    t.same(await migrate(sql, { seed: true }), await listMigrations())
    await sql.run(`update public.credit_balances set credits_remaining = 7 where user_id = '${OTHER_USER}'`)
    const before = await describe(sql)
    t.same(await migrate(sql, { seed: true }), [])
    t.same(await describe(sql), before)
    t.same(await sql.query('select version from supabase_migrations.schema_migrations order by 1', []),
      (await listMigrations()).map(file => ({ version: file.split('_')[0] })), 'noted where the Supabase CLI looks')
  })

  t.test('a migration that fails leaves nothing behind, and can be applied once it is mended', async t => {
    const sql = await open(t)
    const files = await listMigrations()
    const broken = files.find(file => file.includes('runs_and_credits'))!
    const failing: SqlRunner = { ...sql, run: script => sql.run(isOf(broken, script) ? `${script}; select 1 / 0` : script) }
    await t.rejects(migrate(failing), /division by zero/)
    t.same(await sql.query("select to_regclass('public.agent_runs') as t, to_regproc('public.begin_run') as f", []), [{ t: null, f: null }])
    t.same(await migrate(sql), files.slice(files.indexOf(broken)))
  })

  t.test('the service\'s functions are for service_role alone', async t => {
    const functions = await sql.query(`select oid::regprocedure::text as name, proname from pg_proc
      where pronamespace = 'public'::regnamespace and proname not in ('has_role', 'get_admin_stats') order by 1`, [])
    const may = (role: string, name: unknown) => sql.query('select has_function_privilege($1, $2, \'execute\') as may', [role, name])
    t.ok(['begin_run', 'finish_run', 'deduct_credits'].every(name => functions.some(({ proname }) => proname === name)))
    for (const { name } of functions) {
      for (const role of ['anon', 'authenticated']) t.same(await may(role, name), [{ may: false }], `${role} ${name}`)
      t.same(await may('service_role', name), [{ may: true }], `service_role ${name}`)
    }
    const denied = { code: '42501', message: /permission denied for function/ }
    for (const role of ['anon', 'authenticated']) {
      await t.rejects(as(role, DEMO_USER, `select public.begin_run('${DEMO_USER}', '${DEMO_AGENT}', 'x', '{}', gen_random_uuid(), 60, p_agent => '{}')`), denied)
      await t.rejects(as(role, DEMO_USER, `select public.deduct_credits('${OTHER_USER}', 1)`), denied)
      await t.rejects(as(role, DEMO_USER, `select public.finish_run('${DEMO_USER}', 1, 'failed', '', '', null, 0, '', null)`), denied)
    }
    await as('service_role', '', `select public.deduct_credits('${DEMO_USER}', 0)`)
  })

  t.test('users read their own balance and ledger, and write neither, nor a role', async t => {
    for (const table of ['credit_balances', 'credit_usage', 'user_roles', 'agent_runs']) {
      for (const write of [`update public.${table} set user_id = user_id`, `delete from public.${table}`, `insert into public.${table} (user_id) values ('${OTHER_USER}')`]) {
        await t.rejects(as('authenticated', OTHER_USER, write), { code: '42501' }, write)
      }
    }
    t.same(await as('authenticated', OTHER_USER, 'select user_id, credits_remaining from public.credit_balances'),
      [{ user_id: OTHER_USER, credits_remaining: 7 }])
    await t.rejects(as('anon', '', 'select * from public.credit_balances'), { code: '42501' })
  })

  t.test('users see their own runs and no others', async t => {
    const agent = '{"name": "x"}'
    for (const user of [DEMO_USER, OTHER_USER]) {
      await sql.query('select public.begin_run($1, $2, \'x\', \'{}\', gen_random_uuid(), 60, p_agent => $3)', [user, DEMO_AGENT, agent])
    }
    const runs = 'select user_id from public.agent_runs'
    for (const user of [DEMO_USER, OTHER_USER]) t.same(await as('authenticated', user, runs), [{ user_id: user }])
    t.same(await as('authenticated', '', runs), [])
    await t.rejects(as('anon', '', runs), { code: '42501' })
  })

  t.test('get_admin_stats answers an admin and the service role, and nobody else', async t => {
    const stats = 'select total_agents::int from public.get_admin_stats()'
    t.same(await as('authenticated', DEMO_USER, stats), [{ total_agents: 3 }])
    t.same(await as('service_role', '', stats), [{ total_agents: 3 }])
    await t.rejects(as('authenticated', OTHER_USER, stats), { code: 'PT403' })
    await t.rejects(as('anon', '', stats), { code: '42501' })
  })

  t.test('the live project\'s tables keep their rows, and what is unsafe there is mended', async t => {
    const sql = await open(t)
    await sql.run(await readFile(new URL('../supabase/platform.sql', import.meta.url), 'utf8'))
    await sql.run(LIVE_PROJECT)
    await migrate(sql, { seed: true })
    t.match(await sql.query('select credits_remaining, credits_reserved from public.credit_balances where user_id = $1', [DEMO_USER]),
      [{ credits_remaining: 42, credits_reserved: 0 }])
    const own = 'credits_remaining from public.credit_balances'
    t.same(await as('authenticated', DEMO_USER, `select ${own}`, sql), [{ credits_remaining: 42 }], 'users still read their own')
    await t.rejects(sql.query('select public.deduct_credits($1, 43)', [DEMO_USER]), { code: 'PT402' })
    await t.rejects(as('authenticated', DEMO_USER, `select public.deduct_credits('${OTHER_USER}', 1)`, sql), { code: '42501' })
    t.same(await as('service_role', '', 'select total_agents::int from public.get_admin_stats()', sql), [{ total_agents: 3 }])
    const written = await as('authenticated', DEMO_USER, 'update public.credit_balances set credits_remaining = 1000000 returning user_id', sql)
      .catch(error => error.code)
    t.ok(written === '42501' || (written as unknown[]).length === 0, 'nobody writes their own balance', { found: written })
  })

  /** What a role sees as a user, the way PostgREST asks. */
  async function as (role: string, userId: string, query: string, on = sql): Promise<Array<Record<string, unknown>>> {
    await on.run(`begin; set local role ${role}; set local "request.jwt.claims" = '${JSON.stringify({ sub: userId, role })}'`)
    try {
      return await on.query(query, [])
    } finally {
      await on.run('rollback')
    }
  }
}

/** What the contract tells of the live project: tables older than these migrations, and what is unsafe about them. */
const LIVE_PROJECT = `
  insert into auth.users (id) values ('${DEMO_USER}');
  create type public.app_role as enum ('admin', 'moderator', 'user');
  create table public.credit_balances (id uuid primary key default gen_random_uuid(), user_id uuid not null unique references auth.users (id),
    credits_remaining integer not null default 0, credits_used_this_month integer not null default 0, plan_type text not null default 'free');
  insert into public.credit_balances (user_id, credits_remaining) values ('${DEMO_USER}', 42);
  alter table public.credit_balances enable row level security;
  create policy "Users can view their own credits" on public.credit_balances for select using (auth.uid() = user_id);
  create policy "Users can update their own credits" on public.credit_balances for update using (auth.uid() = user_id);
  grant all on public.credit_balances to anon, authenticated, service_role;
  create function public.deduct_credits(p_user_id uuid, p_credits integer) returns void language sql security definer as $$
    update public.credit_balances set credits_remaining = credits_remaining - p_credits where user_id = p_user_id
  $$;
  grant execute on function public.deduct_credits(uuid, integer) to anon, authenticated;`

function isOf (file: string, script: string): boolean {
  return script.includes(`values ('${file.split('_')[0]}'`)
}

/** Everything there is: columns, functions, policies, grants, indexes, and every row of every table. */
async function describe (sql: SqlRunner): Promise<unknown[]> {
  const queries = [
    'select table_schema, table_name, column_name, data_type, column_default from information_schema.columns where table_schema in (\'public\', \'auth\') order by 1, 2, 3',
    'select oid::regprocedure::text, md5(prosrc), proacl::text from pg_proc where pronamespace in (\'public\'::regnamespace, \'auth\'::regnamespace) order by 1',
    'select tablename, policyname, cmd, qual from pg_policies order by 1, 2',
    'select relname, relacl::text, relrowsecurity from pg_class where relnamespace = \'public\'::regnamespace order by 1',
    'select conrelid::regclass::text, conname from pg_constraint where connamespace = \'public\'::regnamespace order by 1, 2'
  ]
  const tables = await sql.query('select schemaname || \'.\' || tablename as name from pg_tables where schemaname in (\'public\', \'auth\') order by 1', [])
  for (const { name } of tables) queries.push(`select t::text from ${name} t order by 1`)
  const answers = []
  for (const query of queries) answers.push(await sql.query(query, []))
  return answers
}

t.test('npm run migrate', async t => {
  t.test('says in one line what is wrong, and ends with 1', async t => {
    for (const args of [[], ['--url', 'postgres://nobody@127.0.0.1:1/nothing'], ['--url', 'http://example.invalid/x'], ['--ulr', 'x']]) {
      const { code, stdout, stderr } = await runMigrate(...args)
      t.equal(code, 1, args.join(' '))
      t.equal(stdout, '')
      t.match(stderr, /^\S.+\n$/, 'one line')
    }
  })

  t.test('applies what is missing and says so; the second time that there is nothing', async t => {
    if (!await findPostgres(t)) return
    const url = await createPostgres(t, { migrated: false })
    t.same(await runMigrate('--url', url, '--seed'), { code: 0, stdout: `applied ${(await listMigrations()).join(', ')}\n`, stderr: '' })
    t.same(await runMigrate('--url', url, '--seed'), { code: 0, stdout: 'nothing to apply: the database is up to date\n', stderr: '' })
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    t.teardown(() => client.end())
    t.equal((await client.query('select from public.agents')).rowCount, 3)
  })
})

function runMigrate (...args: string[]): Promise<{ code: unknown, stdout: string, stderr: string }> {
  const script = fileURLToPath(new URL('../src/cli/migrate.ts', import.meta.url))
  return new Promise(resolve => {
    execFile(process.execPath, ['--import', 'tsx', script, ...args], { env: { PATH: process.env.PATH } }, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }))
  })
}
