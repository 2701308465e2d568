import { readFile } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { FUNCTIONS, buildFunctions, listSchemas } from '../../scripts/build-migration.js'
import { migrate, type SqlRunner } from '../../src/database/migrations.js'
import { findPostgres } from '../support/helper.js'
import { type Catalog, readCatalog } from '../support/catalog.js'
import { makeLive, openPglite, openPostgres } from '../support/live/project.js'
import { DIFFERENT, SERVICE_COLUMNS } from '../support/live/service-columns.js'

t.test('the migration of the changed functions is what `npm run schema` makes of the schemas', async t => {
  t.equal(await readFile(FUNCTIONS, 'utf8'), await buildFunctions())
})

t.test('every object is defined once, and a function in a file of its name', async t => {
  const definitions: string[] = []
  for (const file of await listSchemas()) {
    const sql = await readSql(file)
    const found = [...sql.matchAll(/^create (?:unique )?(table|index|function|trigger|policy|type) (?:public\.)?(\w+)(?: on (\S+))?/gm)]
    for (const [, kind, name, table] of found) {
      definitions.push([kind, name, kind === 'policy' && table].filter(Boolean).join(' '))
      if (kind === 'function') t.equal(file.split('/').at(-1), `${name}.sql`)
    }
  }
  t.ok(definitions.includes('function finish_run'))
  t.same(definitions, [...new Set(definitions)])
})

t.test('schemas and migrations on PGlite', async t => testSchemas(t, openPglite))

t.test('schemas and migrations on PostgreSQL', async t => {
  if (!await findPostgres(t)) return
  const open = openPostgres
  await testSchemas(t, open)

  t.test('come to the same in a project that grants and publishes what is new', async t => {
    const [declared, migrated] = [await declare(await open(t), OLDER_PROJECT), await open(t)]
    await migrated.run(await readSql('platform.sql') + OLDER_PROJECT)
    await migrate(migrated)
    const catalog = await readCatalog(declared)
    t.match(catalog['publication supabase_realtime'], /agent_runs.*credit_balances/)
    t.same(await readCatalog(migrated), catalog)
  })
})

/** What a project of Supabase's may have beside the platform's SQL: everybody is granted everything on what is new, and Realtime publishes. */
const OLDER_PROJECT = `create publication supabase_realtime;
  alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
  alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
  alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;`

/** A change of each kind that the comparison has to see. */
const CHANGES = [
  "comment on table public.agent_runs is 'Runs'",
  "comment on function public.iso_time(timestamptz) is 'Formats'",
  'create view public.all_runs as select * from public.agent_runs',
  'alter table public.agent_runs add column motto text',
  'alter table public.agent_runs alter column attempt set default 2',
  'alter table public.agent_runs alter column attempt drop not null',
  'alter table public.agent_runs alter column error set compression pglz',
  'alter table public.agents alter column ai_model type text',
  'alter table public.agent_runs disable row level security',
  'alter table public.agent_runs force row level security',
  'alter table public.agent_runs replica identity full',
  'alter table public.agent_runs drop constraint agent_runs_status_check',
  'drop index public.agent_runs_newest',
  'create index another on public.agent_runs (status)',
  'drop policy agent_runs_own on public.agent_runs',
  'alter policy agent_runs_own on public.agent_runs using (true)',
  'alter policy agent_runs_own on public.agent_runs to anon',
  'alter table public.agent_runs disable trigger link_scheduled_run',
  'drop trigger link_scheduled_run on public.agent_runs',
  'alter function public.begin_run reset lock_timeout',
  'alter function public.begin_run security invoker',
  'alter function public.iso_time volatile',
  "create or replace function public.iso_time(p_time timestamptz) returns text language sql immutable set search_path = '' as $$ select 'now' $$",
  'grant select on public.agent_workers to anon',
  'grant select (id) on public.agent_runs to anon',
  'grant execute on function public.begin_run to anon',
  'grant usage on sequence public.admin_actions_id_seq to anon',
  'grant create on schema public to anon',
  'alter default privileges in schema public grant select on tables to anon',
  "alter type public.app_role rename value 'user' to 'member'",
  'create publication everything for table public.agent_runs'
]

async function testSchemas (t: Test, open: (t: Test) => Promise<SqlRunner>): Promise<void> {
  const bare = await open(t)
  await migrate(bare)

  t.test('come to the same in an empty database', async t => {
    const catalog = await readCatalog(await declare(await open(t)))
    t.ok(Object.keys(catalog).length > 400)
    t.same(await readCatalog(bare), catalog)
  })

  t.test('a change of any kind is seen', async t => {
    const before = await readCatalog(bare)
    for (const change of CHANGES) {
      await bare.run('begin')
      await bare.run(change)
      t.notSame(await readCatalog(bare), before, change)
      await bare.run('rollback')
    }
    t.same(await readCatalog(bare), before)
  })

  t.test('the tables that a live project has are the same in a bare database', async t => {
    const live = await open(t)
    await makeLive(live)
    const [expected, found] = [await readCatalog(live), await readCatalog(bare)]
    for (const [table, columns] of Object.entries(SERVICE_COLUMNS)) {
      const of = (catalog: Catalog) => partsOf(catalog, table).filter(([name]) => !DIFFERENT.has(name))
      const added = columns.map(column => `column ${table}.${column}`)
      t.same(added.filter(name => !found[name]), [], `${table} has the service's columns`)
      const same = of(found).filter(([name]) => name in expected || (name.startsWith('column ') && !added.includes(name)))
      t.same(same, of(expected), table)
    }
  })
}

/** The columns, without grants, and the constraints of a table. */
function partsOf (catalog: Catalog, table: string): Array<[name: string, definition: string]> {
  return Object.entries(catalog)
    .filter(([name]) => name.startsWith(`column ${table}.`) || name.startsWith(`constraint ${table}.`))
    .map(([name, definition]) => [name, definition.replace(/ \{.+\}$/, '')])
}

async function declare (sql: SqlRunner, project = ''): Promise<SqlRunner> {
  await sql.run(await readSql('platform.sql') + project)
  for (const file of await listSchemas()) await sql.run(await readSql(file))
  return sql
}

function readSql (file: string): Promise<string> {
  return readFile(new URL(`../../supabase/${file}`, import.meta.url), 'utf8')
}
