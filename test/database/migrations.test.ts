import { readFile } from 'node:fs/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { listMigrations, migrate, type SqlRunner } from '../../src/database/migrations.js'
import { printMigrations } from '../../src/database/migrations/script.js'
import { createEmptyPGlite, createPostgres, DEMO_AGENT, DEMO_USER, findPostgres, OTHER_USER } from '../support/helper.js'
import { LIVE_PROJECTS } from '../support/live-projects.js'

// A live project is on PostgreSQL: only where there is none do PGlite's databases stand in for it.
t.test('migrations on PGlite', async t => testMigrations(t, async t => {
  const pglite = await createEmptyPGlite(t)
  return {
    async run (sql) { await pglite.exec(sql) },
    async query (sql, values) { return (await pglite.query<Record<string, unknown>>(sql, values)).rows }
  }
}, await findPostgres(t) ? [] : LIVE_PROJECTS))

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

async function testMigrations (t: Test, open: (t: Test) => Promise<SqlRunner>, projects = LIVE_PROJECTS): Promise<void> {
  const sql = await open(t)

  t.test('applied twice they change nothing the second time, and rows that a user changed stay as they are', async t => {
    t.same(await migrate(sql, { seed: true }), await listMigrations())
    await sql.run(`update public.credit_balances set credits_remaining = 7 where user_id = '${OTHER_USER}'`)
    const before = await describe(sql)
    t.same(await migrate(sql, { seed: true }), [])
    t.same(await describe(sql), before)
    t.same(await sql.query('select version || \'_\' || name || \'.sql\' as file from jeesi.migrations order by version', []),
      (await listMigrations()).map(file => ({ file })), 'noted in a table of our own')
    t.same(await sql.query('select to_regnamespace(\'supabase_migrations\') as schema', []), [{ schema: null }], 'and not where the Supabase CLI looks')
  })

  t.test('a migration that fails leaves nothing behind, and can be applied once it is mended', async t => {
    const sql = await open(t)
    const files = await listMigrations()
    const breakAt = (broken: string): SqlRunner => ({ ...sql, run: script => sql.run(isOf(broken, script) ? `${script}; select 1 / 0` : script) })
    const [baseline, mending] = ['baseline', 'mend_live_project'].map(name => files.find(file => file.includes(name))!)
    await t.rejects(migrate(breakAt(baseline!)), /division by zero/)
    t.same(await sql.query("select to_regclass('public.agent_runs') as t, to_regproc('public.begin_run') as f", []), [{ t: null, f: null }])
    await t.rejects(migrate(breakAt(mending!)), { message: `${mending} was not applied (${baseline} was): division by zero` })
    t.same(await sql.query('select version from jeesi.migrations', []), [{ version: baseline!.split('_')[0] }])
    t.same(await migrate(sql), files.slice(files.indexOf(mending!)), 'what came before it stays')
  })

  t.test('pasted into an SQL editor file by file, and again, they come to the same', async t => {
    const sql = await open(t)
    const scripts = await Promise.all(['platform.sql', ...(await listMigrations()).map(file => `migrations/${file}`), 'seed.sql'].map(readSql))
    for (const script of scripts) await sql.run(script)
    const before = await describe(sql)
    for (const script of scripts) await sql.run(script)
    t.same(await describe(sql), before)
  })

  t.test('what is the service\'s functions are service_role\'s to call, all of them', async t => {
    const missing = await sql.query(`select oid::regprocedure::text from pg_proc
      where pronamespace = 'public'::regnamespace and prorettype <> 'trigger'::regtype and not has_function_privilege('service_role', oid, 'execute')`, [])
    t.same(missing, [])
    const tables = await sql.query(`select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
      and not has_table_privilege('service_role', oid, 'select, insert, update, delete')`, [])
    t.same(tables, [], 'and so are the tables')
  })

  t.test('a connection that has begun runs begins more after a column of agents was given another type', async t => {
    const sql = await open(t)
    await migrate(sql, { seed: true })
    const begin = async () => (await sql.query(`select public.begin_run('${DEMO_USER}', '${DEMO_AGENT}', 'x', '{}', gen_random_uuid(), 60) -> 'agent' as agent`, []))[0]?.agent
    await sql.run(`update public.agents set knowledge_base = '"Facts"', temperature = 0, cache_seconds = 60 where id = '${DEMO_AGENT}'`)
    t.match(await begin(), { knowledgeBase: 'Facts', temperature: 0 })
    await sql.run('alter table public.agents alter column knowledge_base type text, alter column temperature type double precision')
    t.match(await begin(), { knowledgeBase: '"Facts"', temperature: 0 })
    await sql.run('alter table public.agents add column motto text, alter column max_tokens type bigint')
    t.match(await begin(), { knowledgeBase: '"Facts"', temperature: 0 })
  })

  for (const { name, sql: project } of projects) {
    t.test(`beside a live project ${name}`, async t => {
      const sql = await open(t)
      await sql.run(await readSql('platform.sql'))
      await sql.run(project)
      const signatures = () => sql.query(`select oid::regprocedure::text as name, proargnames, prorettype::regtype::text as returns from pg_proc
        where proname in ('has_role', 'deduct_credits', 'get_admin_stats') order by 1`, [])
      const before = await signatures()
      await migrate(sql, { seed: true })
      await testLiveProject(t, sql)
      t.same(await signatures(), before, 'what frontends and functions call is called the same')
      t.same(await migrate(sql, { seed: true }), [])
    })
  }

  async function testLiveProject (t: Test, sql: SqlRunner): Promise<void> {
    const balances = 'select user_id, credits_remaining from public.credit_balances where user_id is not null'
    const of = async (user: string) => (await sql.query(`${balances} and user_id = $1`, [user]))[0]?.credits_remaining
    t.same([await of(DEMO_USER), await of(OTHER_USER)], [42, 0], 'balances stay, but for what was overdrawn')
    t.same(await as('authenticated', OTHER_USER, balances, sql), [{ user_id: OTHER_USER, credits_remaining: 0 }], 'users read their own')
    await t.rejects(as('anon', '', balances, sql), { code: '42501' })
    for (const user of [DEMO_USER, OTHER_USER]) {
      for (const write of [
        'update public.credit_balances set credits_remaining = 1000000',
        `insert into public.credit_usage (user_id, credits_used, operation_type) values ('${user}', -100, 'gift')`,
        'delete from public.credit_usage',
        'truncate public.credit_balances'
      ]) {
        await t.rejects(as('authenticated', user, write, sql), { code: '42501' }, write)
        await t.rejects(as('anon', '', write, sql), { code: '42501' }, `anon: ${write}`)
      }
    }
    const admin = `insert into public.user_roles (user_id, role) values ('${OTHER_USER}', 'admin') returning role::text`
    await t.rejects(as('authenticated', OTHER_USER, admin, sql), { code: '42501' }, 'nobody makes themselves an admin')
    for (const role of ['anon', 'authenticated']) {
      await t.rejects(as(role, DEMO_USER, `select public.deduct_credits('${OTHER_USER}', 0)`, sql), { code: '42501' })
    }
    await t.rejects(sql.query('update public.credit_balances set credits_remaining = -1', []), { code: '23514' })
    await t.rejects(sql.query('select public.deduct_credits($1, 43)', [DEMO_USER]), { code: 'PT402' })
    t.match(await as('service_role', '', 'select total_users::int from public.get_admin_stats()', sql), [{ total_users: 2 }])

    // A run's whole life, on whatever columns there are.
    const run = `(public.begin_run('${DEMO_USER}', '${DEMO_AGENT}', 'x', '{}', gen_random_uuid(), 60) -> 'run' ->> 'runId')::uuid`
    await as('service_role', '', `select public.finish_run(${run}, 1, 'succeeded', 'Hello', 'stop', '{"totalTokens": 3}', 1, 'm', null)`, sql, 'commit')
    await sql.query('select public.grant_credits($1, 5, \'For the trouble\')', [OTHER_USER])
    t.same([await of(DEMO_USER), await of(OTHER_USER)], [41, 5])
    t.same(await sql.query('select public.audit_credits() -> \'problems\' as problems', []), [{ problems: [] }], 'it all adds up')
  }

  t.test('beside a live project pages without a session still read what is for everybody, and admins still give roles', async t => {
    const sql = await open(t)
    await sql.run(await readSql('platform.sql'))
    await sql.run(LIVE_PROJECTS[0]!.sql)
    await migrate(sql)
    const agents = 'select name from public.agents'
    t.same(await as('anon', '', agents, sql), [{ name: 'Public helper' }], 'by a policy that asks for roles')
    t.same(await as('anon', '', `select public.has_role('${DEMO_USER}', 'admin') as it`, sql), [{ it: false }], 'of which anon learns nothing')
    const promote = `insert into public.user_roles (user_id, role) values ('${OTHER_USER}', 'moderator') returning role::text`
    t.same(await as('authenticated', DEMO_USER, promote, sql), [{ role: 'moderator' }])
    const members = await sql.query('select tablename from pg_publication_tables where pubname = \'supabase_realtime\' order by 1', [])
    t.same(members, [{ tablename: 'agent_runs' }, { tablename: 'credit_balances' }], 'and follow their runs and balances live')
  })

  t.test('beside a live project the rows of schedules fit into what its table takes', async t => {
    const sql = await open(t)
    await sql.run(await readSql('platform.sql'))
    await sql.run(`${LIVE_PROJECTS[0]!.sql}
      create table public.agent_schedules (id uuid primary key default gen_random_uuid(), user_id uuid not null, agent_id uuid not null,
        cron_expression text not null, timezone text, prompt_template text not null, output_action text check (output_action in ('store', 'webhook')),
        is_active boolean default true, next_run_at timestamptz);
      insert into public.agent_schedules (user_id, agent_id, cron_expression, prompt_template, next_run_at)
        values ('${DEMO_USER}', 'aaaaaaaa-0000-4000-8000-000000000001', '0 9 * * *', 'Hello', '2001-01-01');
      create table public.scheduled_runs (id uuid primary key, schedule_id uuid not null references public.agent_schedules (id) on delete cascade,
        user_id uuid not null, status text not null constraint odd_states check (status in ('pending', 'success')), result jsonb, error jsonb,
        started_at timestamptz not null, completed_at timestamptz);
      create policy all_of_it on public.scheduled_runs for all using (true);`)
    await migrate(sql, { seed: true })
    const [schedule] = await sql.query('select id, next_run_at, is_enabled, is_active from public.agent_schedules', [])
    t.match(schedule, { next_run_at: new Date('2001-01-01'), is_enabled: false, is_active: true }, 'what the project has written stays, a column of its own too')
    await sql.query('update public.agent_schedules set is_enabled = true', [])
    t.match(await sql.query('select next_run_at from public.agent_schedules', []), [{ next_run_at: null }], 'what was due while it was off is not made up for')
    const due = '2099-01-01T09:00:00.000Z'
    await sql.query('select public.plan_schedule($1, \'0 9 * * *\', null, $2)', [schedule!.id, due])
    const [{ firing }] = await sql.query('select public.fire_schedule($1, $2, $2, null, \'Hello\', 60) as firing', [schedule!.id, due]) as [{ firing: { id: string } }]
    await sql.run(`select public.finish_run((public.begin_run('${DEMO_USER}', 'aaaaaaaa-0000-4000-8000-000000000001', 'x', '{}', gen_random_uuid(), 60,
      'schedule:${firing.id}') -> 'run' ->> 'runId')::uuid, 1, 'succeeded', 'Good morning', 'stop', '{"totalTokens": 3}', 1, 'm', null)`)
    t.match(await sql.query('select status, result, error, generated_content, error_message, completed_at is not null as is_over from public.scheduled_runs', []),
      [{ status: 'completed', result: 'Good morning', error: null, generated_content: 'Good morning', error_message: null, is_over: true }])
    const forge = `insert into public.scheduled_runs (id, schedule_id, status, delivery_status) values (gen_random_uuid(), '${schedule!.id as string}', 'completed', 'pending') returning id`
    await t.rejects(as('authenticated', OTHER_USER, forge, sql), { code: '42501' })
    t.same(await migrate(sql, { seed: true }), [])
  })

  /** What a role sees as a user, the way PostgREST asks. */
  async function as (role: string, userId: string, query: string, on = sql, end = 'rollback'): Promise<Array<Record<string, unknown>>> {
    await on.run(`begin; set local role ${role}; set local "request.jwt.claims" = '${JSON.stringify({ sub: userId, role })}'`)
    try {
      const rows = await on.query(query, [])
      await on.run(end)
      return rows
    } catch (error) {
      await on.run('rollback')
      throw error
    }
  }
}

function readSql (file: string): Promise<string> {
  return readFile(new URL(`../../supabase/${file}`, import.meta.url), 'utf8')
}

function isOf (file: string, script: string): boolean {
  return script.includes(`\n-- ${file.slice(0, -'.sql'.length)}\n`)
}

/** Everything there is: columns, functions, policies, grants, indexes, and every row of every table. */
async function describe (sql: SqlRunner): Promise<unknown[]> {
  const queries = [
    'select table_schema, table_name, column_name, data_type, column_default from information_schema.columns where table_schema in (\'public\', \'auth\') order by 1, 2, 3',
    'select oid::regprocedure::text, md5(prosrc), array(select unnest(proacl)::text order by 1)::text as acl from pg_proc where pronamespace in (\'public\'::regnamespace, \'auth\'::regnamespace) order by 1',
    'select tablename, policyname, cmd, qual from pg_policies order by 1, 2',
    'select relname, array(select unnest(relacl)::text order by 1)::text as acl, relrowsecurity from pg_class where relnamespace = \'public\'::regnamespace order by 1',
    'select conrelid::regclass::text, conname from pg_constraint where connamespace = \'public\'::regnamespace order by 1, 2'
  ]
  const tables = await sql.query('select schemaname || \'.\' || tablename as name from pg_tables where schemaname in (\'public\', \'auth\') order by 1', [])
  for (const { name } of tables) queries.push(`select t::text from ${name} t order by 1`)
  const answers = []
  for (const query of queries) answers.push(await sql.query(query, []))
  return answers
}

t.test('migrations by a role that owns the database and is no superuser, beside a schema `auth` of another, as on Supabase', async t => {
  if (!await findPostgres(t)) return
  const script: typeof migrate = async sql => { await sql.run(await printMigrations()); return [] }
  const projects: Array<[name: string, project: string, apply: typeof migrate]> = [
    ['a new project', '', migrate],
    ...LIVE_PROJECTS.slice(0, 2).map(({ name, sql }) => [name, sql, migrate] as [string, string, typeof migrate]),
    ['a live project, by the script', LIVE_PROJECTS[0]!.sql, script]
  ]
  for (const [name, project, apply] of projects) {
    const url = await createPostgres(t, { migrated: false })
    const admin = new pg.Client({ connectionString: url })
    await admin.connect()
    const database = new URL(url).pathname.slice(1)
    const owner = `${database}_owner`
    await admin.query(await readSql('platform.sql'))
    await admin.query(`create role ${owner} login; grant anon, authenticated, service_role to ${owner};
      alter database ${database} owner to ${owner}; alter schema public owner to ${owner};
      grant usage on schema auth to ${owner}; grant select, insert, references, trigger on auth.users to ${owner}`)
    const client = new pg.Client({ connectionString: Object.assign(new URL(url), { username: owner }).href })
    t.teardown(async () => {
      await client.end()
      await admin.query(`reassign owned by ${owner} to postgres; drop owned by ${owner}`)
      await admin.query(`drop role ${owner}`)
      await admin.end()
    })
    await client.connect()
    await client.query(project)
    const sql: SqlRunner = {
      async run (text) { await client.query(text) },
      async query (text, values) { return (await client.query(text, values)).rows }
    }
    await apply(sql)
    t.same(await sql.query('select rolsuper or rolbypassrls as mighty from pg_roles where rolname = current_user', []), [{ mighty: false }], name)
    const { rows: [user] } = await client.query('insert into auth.users (id, email) values (gen_random_uuid(), \'new@example.com\') returning id')
    await client.query('select public.grant_credits($1, 5, \'Welcome\')', [user.id])
    t.match(await sql.query('select public.audit_credits() -> \'total\' as total', []), [{ total: 0 }], name)
    t.same(await migrate(sql), [], name)
  }
})
