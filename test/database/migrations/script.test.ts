import pg from 'pg'
import t, { type Test } from 'tap'
import { listMigrations, migrate, type SqlRunner } from '../../../src/database/migrations.js'
import { printMigrations } from '../../../src/database/migrations/script.js'
import { readCatalog } from '../../support/catalog.js'
import { createPostgres, DEMO_USER, findPostgres } from '../../support/helper.js'
import { LIVE_PROJECTS } from '../../support/live-projects.js'
import { migrateAs020, pasteAs020 } from '../../support/release-020.js'

/** What the dashboard's SQL editor sends at the most, in bytes. */
const EDITOR_LIMIT = 0.98 * 1024 * 1024

const script = await printMigrations()
const NOTES = 'select version, applied_at from jeesi.migrations order by 1'

t.test('the script is short enough for the SQL editor', async t => {
  t.ok(Buffer.byteLength(script) < EDITOR_LIMIT / 2, `${Buffer.byteLength(script)} bytes`)
})

t.test('the script for an SQL editor', async t => {
  if (!await findPostgres(t)) return

  t.test('gives an empty database what npm run migrate gives it, and pasted again does nothing', async t => {
    const [pasted, migrated] = [await open(t), await open(t)]
    await pasted.run(script)
    await migrate(migrated)
    t.same(await readCatalog(pasted), await readCatalog(migrated))
    const notes = await pasted.query(NOTES, [])
    t.equal(notes.length, (await listMigrations()).length)
    await pasted.run(script)
    t.same(await pasted.query(NOTES, []), notes)
    t.same(await migrate(pasted), [], 'npm run migrate knows')
  })

  t.test('passes over what npm run migrate has applied', async t => {
    const sql = await open(t)
    await migrate(sql)
    const notes = await sql.query(NOTES, [])
    await sql.run('create policy of_theirs on public.credit_balances for select to authenticated using (false)')
    await sql.run(script)
    t.same(await sql.query(NOTES, []), notes)
    t.equal((await sql.query('select from pg_policies where policyname = \'of_theirs\'', [])).length, 1, 'what is applied again would drop it')
  })

  t.test('brings what release 0.2.0 has made up to date, and leaves the history to the project', async t => {
    const [sql, migrated] = [await open(t), await open(t)]
    await migrateAs020(sql)
    await sql.run(script)
    await migrate(migrated)
    t.same(await readCatalog(sql), await readCatalog(migrated))
    t.same(await sql.query('select version from supabase_migrations.schema_migrations', []), [])
    t.same(await migrate(sql), [])
  })

  t.test('beside a live project does all in one transaction, or nothing', async t => {
    const [sql, migrated] = [await open(t), await open(t)]
    for (const each of [sql, migrated]) {
      await pasteAs020(each, [])
      await each.run(LIVE_PROJECTS[0]!.sql)
    }
    await sql.run('create view public.agent_runs as select 1 as one')
    const before = await readCatalog(sql)
    await t.rejects(sql.run(script), { code: '42703' })
    t.same(await readCatalog(sql), before)
    t.same(await sql.query('select to_regnamespace(\'jeesi\') as schema', []), [{ schema: null }])
    await sql.run('drop view public.agent_runs')
    await sql.run(script)
    await migrate(migrated)
    t.same(await readCatalog(sql), await readCatalog(migrated))
    t.match(await sql.query('select credits_remaining from public.credit_balances where user_id = $1', [DEMO_USER]), [{ credits_remaining: 42 }])
  })

  t.test('does nothing when the editor first asks for its plan', async t => {
    const sql = await open(t)
    await t.rejects(sql.run(`explain ${script}`), { code: '42601' })
    t.same(await sql.query('select to_regnamespace(\'jeesi\') as schema', []), [{ schema: null }])
  })
})

async function open (t: Test): Promise<SqlRunner> {
  const client = new pg.Client({ connectionString: await createPostgres(t, { migrated: false }) })
  await client.connect()
  t.teardown(() => client.end())
  return {
    async run (sql) { await client.query(sql) },
    async query (sql, values) { return (await client.query(sql, values)).rows }
  }
}
