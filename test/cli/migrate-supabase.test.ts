import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import t, { type Test } from 'tap'
import { listMigrations } from '../../src/database/migrations.js'
import { fetchForTest } from '../packages/fetch.js'
import { makeDirectory } from '../support/doubles/programs.js'
import { createPostgres, findPostgres } from '../support/helper.js'
import { LIVE_PROJECTS } from '../support/live-projects.js'
import { pathOf } from '../support/process.js'
import { IS_WHOLE } from '../support/scope.js'
import { migrateAs020, pasteAs020, RELEASE_020 } from '../support/release-020.js'

/**
 * The platform has a folder of migrations and pushes it by the real Supabase CLI; this service's migrations come to the
 * same database in each of the ways there are, and neither ever shuts the other out.
 */

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const OURS = await listMigrations()
const LATER = OURS.filter(file => !RELEASE_020.includes(file))
const UP_TO_DATE = 'nothing to apply: the database is up to date\n'

/** As many as the live project has; the first makes its tables, the others something small. */
const PLATFORM = Object.fromEntries(Array.from({ length: 17 }, (_, index) => [
  `202507${String(index + 1).padStart(2, '0')}120000_step_${index}.sql`,
  index === 0 ? LIVE_PROJECTS[0]!.sql : `create table public.thing_${index} (id int); alter table public.thing_${index} enable row level security;`
]))
const NEXT = 'alter table public.agents add column motto text;'

/** A test of `npm run test:all`: each takes a minute. */
function whole (t: Test, name: string, test: (t: Test) => Promise<void>): void {
  if (IS_WHOLE) t.test(name, test)
}

t.test('beside a project that is pushed by the Supabase CLI', async t => {
  if (!await findPostgres(t)) return
  const path = await fetchForTest(t, 'supabase')
  if (path === undefined) return
  const cli = join(path, 'node_modules/@supabase/cli-linux-x64/bin/supabase')
  const release = await copyRelease(t)
  const nextRelease = await copyRelease(t, { '20990101000000_made_up.sql': 'create table public.made_up (id int);' })

  t.test('npm run migrate applies ours, the project goes on pushing, and so does npm run migrate', async t => {
    const project = await createProject(t, cli)
    await project.push()
    t.match(await release.migrate('--url', project.url), { code: 0, stdout: `applied ${OURS.join(', ')}\n` })
    t.same(await project.pushes('20261202000000_next.sql', NEXT), ['20261202000000_next.sql'])
    t.match(await nextRelease.migrate('--url', project.url), { code: 0, stdout: 'applied 20990101000000_made_up.sql\n' })
    t.same(await project.pushes('20261203000000_next.sql', 'select 1;'), ['20261203000000_next.sql'])
    t.match(await nextRelease.migrate('--url', project.url), { code: 0, stdout: UP_TO_DATE })
    t.equal((await project.history()).length, 19, 'the history is the project\'s own')
  })

  whole(t, 'the script, pasted twice, is known to npm run migrate, and the project goes on pushing', async t => {
    const project = await createProject(t, cli)
    await project.push()
    const { stdout: script } = await release.migrate('--print')
    await project.query(script)
    await project.query(script)
    t.match(await release.migrate('--url', project.url), { code: 0, stdout: UP_TO_DATE })
    t.same(await project.pushes('20261202000000_next.sql', NEXT), ['20261202000000_next.sql'])
    const { stdout: nextScript } = await nextRelease.migrate('--print')
    await project.query(nextScript)
    t.same((await project.query('select to_regclass(\'public.made_up\')::text as made')), [{ made: 'made_up' }])
    t.same(await project.pushes('20261203000000_next.sql', 'select 1;'), ['20261203000000_next.sql'])
  })

  t.test('the files that --into lays are pushed with the project\'s own, and known to npm run migrate', async t => {
    const project = await createProject(t, cli)
    await release.migrate('--into', project.folder)
    const pushed = await project.push()
    t.equal(pushed.length, 17 + OURS.length)
    t.match(await release.migrate('--url', project.url), { code: 0, stdout: UP_TO_DATE })
    t.same(await project.query('select version || \'_\' || name || \'.sql\' as file from jeesi.migrations order by version'), OURS.map(file => ({ file })))
    t.same(await project.pushes('20990102000000_next.sql', NEXT), ['20990102000000_next.sql'])
    t.match(await nextRelease.migrate('--url', project.url), { code: 0, stdout: 'applied 20990101000000_made_up.sql\n' })
    t.match(await nextRelease.migrate('--into', project.folder), { code: 0, stdout: new RegExp(`^wrote 20990102000001_jeesi_made_up\\.sql\n${OURS.length} were there\n`) })
    t.same(await project.push(), ['20990102000001_jeesi_made_up.sql'], 'which does nothing, as the table is there')
    t.match(await nextRelease.migrate('--url', project.url), { code: 0, stdout: UP_TO_DATE })
  })

  whole(t, 'the files that --into lays do nothing where npm run migrate was first', async t => {
    const project = await createProject(t, cli)
    await project.push()
    await release.migrate('--url', project.url)
    await project.query('create policy of_theirs on public.credit_balances for select to authenticated using (false)')
    const notes = await project.query('select * from jeesi.migrations order by 1')
    await release.migrate('--into', project.folder)
    t.equal((await project.push()).length, OURS.length)
    t.same(await project.query('select * from jeesi.migrations order by 1'), notes)
    t.equal((await project.query('select from pg_policies where policyname = \'of_theirs\'')).length, 1)
  })

  whole(t, 'copies of our files that were pushed are known, and --into leaves them out', async t => {
    const project = await createProject(t, cli)
    for (const file of RELEASE_020) await cp(join(ROOT, 'supabase/migrations', file), join(project.folder, file))
    await project.push()
    t.match(await release.migrate('--url', project.url), { code: 0, stdout: `applied ${LATER.join(', ')}\n` })
    t.match(await release.migrate('--into', project.folder), { code: 0, stdout: /2 were there/ })
    t.equal((await project.push()).length, LATER.length)
    t.same(await project.pushes('20990101000000_next.sql', NEXT), ['20990101000000_next.sql'])
  })

  t.test('what release 0.2.0 noted in the history shuts the project out until npm run migrate', async t => {
    const project = await createProject(t, cli)
    await project.push()
    await migrateAs020({
      async run (sql) { await project.query(sql) },
      async query (sql, values) { return project.query(sql, values) }
    })
    await t.rejects(project.pushes('20261202000000_next.sql', NEXT), /Remote migration versions not found in local migrations directory/)
    const { code, stdout, stderr } = await release.migrate('--url', project.url)
    t.match({ code, stdout }, { code: 0, stdout: `applied ${LATER.join(', ')}\n` })
    t.match(stderr, /^notice: supabase_migrations\.schema_migrations: removed 20261129000000, 20261129000100, /m)
    t.same(await project.push(), ['20261202000000_next.sql'])
    t.match(await nextRelease.migrate('--url', project.url), { code: 0, stdout: 'applied 20990101000000_made_up.sql\n' })
    t.same(await project.pushes('20261203000000_next.sql', 'select 1;'), ['20261203000000_next.sql'])
  })
})

interface Project {
  url: string
  /** Its supabase/migrations. */
  folder: string
  /** Pushes it. @returns the names of the files that were applied. @throws what the CLI says, if it refuses. */
  push (): Promise<string[]>
  /** Adds a migration, and pushes. */
  pushes (file: string, sql: string): Promise<string[]>
  history (): Promise<unknown[]>
  query (sql: string, values?: unknown[]): Promise<Array<Record<string, unknown>>>
}

/** A project with the platform's migrations, none of them pushed, and its database with what Supabase provides. */
async function createProject (t: Test, cli: string): Promise<Project> {
  const directory = await makeDirectory(t, 'platform')
  const folder = join(directory, 'supabase/migrations')
  await mkdir(folder, { recursive: true })
  for (const [name, sql] of Object.entries(PLATFORM)) await writeFile(join(folder, name), sql)
  const url = await createPostgres(t, { migrated: false })
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  const query = async (sql: string, values?: unknown[]) => (await client.query(sql, values)).rows
  await pasteAs020({ run: async sql => { await query(sql) }, query }, [])
  async function push (): Promise<string[]> {
    const { code, stdout, stderr } = await start(cli, ['db', 'push', `--remote=${url}`, '--yes', '--workdir', directory], directory)
    if (code !== 0) throw new Error(stderr)
    return [...(stdout + stderr).matchAll(/Applying migration (\S+\.sql)/g)].map(([, name]) => name!)
  }
  return {
    url,
    folder,
    push,
    async pushes (file, sql) {
      await writeFile(join(folder, file), sql)
      return push()
    },
    history: () => query('select version from supabase_migrations.schema_migrations'),
    query
  }
}

/** The built release in a folder of its own, with more migrations than it has. */
async function copyRelease (t: Test, migrations: Record<string, string> = {}) {
  const directory = await makeDirectory(t, 'release')
  await cp(dirname(pathOf('migrate.js')), join(directory, 'dist'), { recursive: true })
  await mkdir(join(directory, 'supabase/migrations'), { recursive: true })
  for (const name of ['package.json', 'supabase/platform.sql', 'supabase/seed.sql']) await cp(join(ROOT, name), join(directory, name))
  for (const name of await readdir(join(ROOT, 'supabase/migrations'))) {
    await writeFile(join(directory, 'supabase/migrations', name), await readFile(join(ROOT, 'supabase/migrations', name)))
  }
  for (const [name, sql] of Object.entries(migrations)) await writeFile(join(directory, 'supabase/migrations', name), sql)
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  return { migrate: (...args: string[]) => start(process.execPath, [join(directory, 'dist/migrate.js'), ...args], tmpdir()) }
}

/** A program that sees no environment but this, from its start to its end. */
function start (program: string, args: string[], cwd: string): Promise<{ code: number, stdout: string, stderr: string }> {
  const environment = [`PATH=${process.env.PATH}`, `HOME=${tmpdir()}`, 'DO_NOT_TRACK=1', 'SUPABASE_TELEMETRY_DISABLED=1']
  return new Promise(resolve => {
    execFile('env', ['-i', ...environment, program, ...args], { cwd, maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr })
    })
  })
}
