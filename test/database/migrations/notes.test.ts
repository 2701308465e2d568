import pg from 'pg'
import t, { type Test } from 'tap'
import { listMigrations, migrate, type SqlRunner } from '../../../src/database/migrations.js'
import { createPostgres, findPostgres } from '../../support/helper.js'
import { LIVE_PROJECTS } from '../../support/live-projects.js'
import { migrateAs020, pasteAs020, RELEASE_020 } from '../../support/release-020.js'

const LATER = (await listMigrations()).filter(file => !RELEASE_020.includes(file))
const HISTORY = 'supabase_migrations.schema_migrations'
/** The table of a project whose own two migrations were pushed by the CLI. */
const PUSHED = `create schema supabase_migrations;
  create table ${HISTORY} (version text primary key, statements text[], name text);
  insert into ${HISTORY} values ('20250101000000', '{"create table a ()"}', 'a'), ('20270101000000', '{"create table b ()"}', 'b');`

t.test('what a database has is noted where no user sees it, and known however it was applied', async t => {
  if (!await findPostgres(t)) return

  t.test('nobody but the owner may read or write the notes', async t => {
    const sql = await open(t)
    await migrate(sql)
    for (const role of ['anon', 'authenticated', 'service_role']) {
      t.same(await sql.query('select has_schema_privilege($1, \'jeesi\', \'usage\') as sees, has_table_privilege($1, \'jeesi.migrations\', \'select, insert, update, delete\') as may', [role]),
        [{ sees: false, may: false }], role)
    }
    t.same(await sql.query('select relrowsecurity as secure from pg_class where oid = \'jeesi.migrations\'::regclass', []), [{ secure: true }])
  })

  t.test('what release 0.2.0 noted in the project\'s history is known, and leaves it to the project', async t => {
    const sql = await open(t)
    await sql.run(PUSHED)
    await migrateAs020(sql)
    t.same(await migrate(sql), LATER)
    t.same(await versionsIn(sql, HISTORY), ['20250101000000', '20270101000000'], 'as the platform\'s folder has it')
    t.match(sql.notices, [/^supabase_migrations\.schema_migrations: removed 20261129000000, 20261129000100, which release 0\.2\.0 had noted there/])
    t.same(await migrate(sql), [])
    t.equal(sql.notices.length, 1)
  })

  t.test('it stays in the history if the project was pushed after it, since the project\'s folder then has these files', async t => {
    const sql = await open(t)
    await sql.run(PUSHED)
    await migrateAs020(sql)
    await sql.run(`insert into ${HISTORY} values ('20270102000000', '{"create table c ()"}', 'c')`)
    t.same(await migrate(sql), LATER)
    t.same(await versionsIn(sql, HISTORY), ['20250101000000', '20261129000000', '20261129000100', '20270101000000', '20270102000000'])
    t.same(sql.notices, [])
  })

  t.test('our files that the CLI pushed from the project\'s folder are known, and stay in its history', async t => {
    const sql = await open(t)
    await sql.run(PUSHED)
    await pasteAs020(sql)
    for (const file of RELEASE_020) {
      const [, version, name] = /^(\d+)_(.+)\.sql$/.exec(file)!
      await sql.query(`insert into ${HISTORY} values ($1, '{"do it"}', $2)`, [version, name])
    }
    t.same(await migrate(sql), LATER)
    t.equal((await versionsIn(sql, HISTORY)).length, 4)
  })

  t.test('a migration of the project with the version of one of ours and another name is not taken for ours', async t => {
    const sql = await open(t)
    await sql.run(`${PUSHED} insert into ${HISTORY} values ('20261129000000', null, 'something_else')`)
    t.same(await migrate(sql), [...RELEASE_020, ...LATER])
    t.equal((await versionsIn(sql, HISTORY)).length, 3)
  })

  t.test('a history of an older CLI, without names and statements, is read too', async t => {
    const sql = await open(t)
    await sql.run(`create schema supabase_migrations; create table ${HISTORY} (version text primary key); insert into ${HISTORY} values ('20250101000000')`)
    t.same(await migrate(sql), [...RELEASE_020, ...LATER])
  })

  t.test('what was pasted by release 0.2.0\'s documents is known', async t => {
    for (const { name, sql: project } of [{ name: 'a new project', sql: '' }, ...LIVE_PROJECTS]) {
      const sql = await open(t)
      await pasteAs020(sql, [])
      await sql.run(project)
      await pasteAs020(sql)
      t.same(await migrate(sql), LATER, name)
    }
  })

  t.test('a live project into which only the baseline was pasted is mended', async t => {
    for (const { name, sql: project } of LIVE_PROJECTS) {
      const sql = await open(t)
      await pasteAs020(sql, [])
      await sql.run(project)
      await pasteAs020(sql, RELEASE_020.slice(0, 1))
      t.same(await migrate(sql), [RELEASE_020[1], ...LATER], name)
    }
  })

  t.test('a schema that was dropped is made again, whatever the notes say', async t => {
    const sql = await open(t)
    await migrate(sql)
    await sql.run('drop schema public cascade; create schema public')
    t.same(await migrate(sql), [...RELEASE_020, ...LATER])
    t.match(sql.notices, [/^the schema is of version 0: the migrations from 20261129 on are applied again$/])
    t.same(await migrate(sql), [])
  })

  t.test('what release 0.2.0 applies over a newer database is mended by the next npm run migrate', async t => {
    const sql = await open(t)
    await migrate(sql)
    await migrateAs020(sql)
    t.same(await versionOf(sql), 4)
    t.same(await migrate(sql), LATER)
    t.same(await versionOf(sql), 5)
    t.same(await versionsIn(sql, HISTORY), [])
  })

  t.test('two that migrate at once apply everything once', async t => {
    const url = await createPostgres(t, { migrated: false })
    const [first, second] = [await connect(t, url), await connect(t, url)]
    await migrate(first)
    await first.run('delete from jeesi.migrations where version >= \'20261201\'')
    await Promise.all([migrate(first), migrate(second)])
    t.equal((await versionsIn(first, 'jeesi.migrations')).length, RELEASE_020.length + LATER.length)
  })
})

type NotedRunner = SqlRunner & { notices: string[] }

async function open (t: Test): Promise<NotedRunner> {
  return connect(t, await createPostgres(t, { migrated: false }))
}

async function connect (t: Test, url: string): Promise<NotedRunner> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  const notices: string[] = []
  client.on('notice', ({ message, routine }) => { if (routine === 'exec_stmt_raise') notices.push(message!) })
  return {
    notices,
    async run (sql) { await client.query(sql) },
    async query (sql, values) { return (await client.query(sql, values)).rows }
  }
}

async function versionsIn (sql: SqlRunner, table: string): Promise<unknown[]> {
  return (await sql.query(`select version from ${table} order by 1`, [])).map(({ version }) => version)
}

async function versionOf (sql: SqlRunner): Promise<unknown> {
  return (await sql.query('select (public.schema_version() ->> \'version\')::int as version', []))[0]!.version
}
