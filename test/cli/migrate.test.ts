import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import t, { type Test } from 'tap'
import { listMigrations } from '../../src/database/migrations.js'
import { printMigrations } from '../../src/database/migrations/script.js'
import { createCluster } from '../support/doubles/postgres-cluster.js'
import { makeDirectory } from '../support/doubles/programs.js'
import { createPostgres, findPostgres } from '../support/helper.js'
import { pasteAs020 } from '../support/release-020.js'
import { pathOf, run } from '../support/process.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const NOTHING = 'nothing to apply: the database is up to date\n'
const migrate = (t: Test, args: string[] = [], variables: Record<string, string> = {}) => run(t, 'migrate.js', args, variables)

t.test('npm run migrate says in one line what is wrong, and ends with 1', async t => {
  const cases: Array<[args: string[], line: RegExp, variables?: Record<string, string>]> = [
    [[], /^which database\? npm run migrate -- --url postgres:.+, or set SUPABASE_DB_URL$/],
    [['--url', 'postgres://nobody@127.0.0.1:1/nothing'], /^no connection to 127\.0\.0\.1:1: connect ECONNREFUSED 127\.0\.0\.1:1$/],
    [['--url', 'postgres://postgres:x@db.project.supabase.co.invalid/postgres'], /^no connection to db\.project\.supabase\.co\.invalid:5432: getaddrinfo \w+ \S+$/],
    [['--url', 'http://example.invalid/x'], /^--url takes postgres:\/\/user:password@host:5432\/database$/],
    [[], /^SUPABASE_DB_URL takes postgres:.+$/, { SUPABASE_DB_URL: 'https://project.supabase.co' }],
    [['--url', 'postgres://u:1#d@host/x'], /^--url has a literal # in its user or password: write it as %23$/],
    [[], /^SUPABASE_DB_URL has a literal \/ in its user or password: write it as %2F$/, { SUPABASE_DB_URL: 'postgres://u:1/d@host/x' }],
    [['--url', 'postgres://u:a/b@c#d@host/x'], /^--url is no URL: in a password, .+ or put it in PGPASSWORD$/],
    [['--url', 'postgres://u@127.0.0.1:1/x?sslmode=perhaps'], /^the database URL has an unknown sslmode: .+$/],
    [[], /^SUPABASE_DB_CA names a file that cannot be read \(ENOENT\)$/, { SUPABASE_DB_URL: 'postgres://u@127.0.0.1:1/x', SUPABASE_DB_CA: '/nothing' }],
    [['--ulr', 'x'], /^Unknown option '--ulr': see .+$/],
    [['--print', '--into', '.'], /^one of --url .+, --print and --into at a time$/],
    [['--print', '--seed'], /^one of --url .+, --print and --into at a time$/],
    [['--into', '/nothing'], /^\/nothing is not there$/]
  ]
  for (const [args, line, variables] of cases) {
    const { code, stdout, stderr } = await migrate(t, args, variables)
    t.equal(code, 1, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr.slice(0, -1), line)
    t.equal(stderr.split('\n').length, 2, 'one line')
  }
})

t.test('npm run migrate applies what is missing and says so; the second time that there is nothing', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t, { migrated: false })
  t.same(await migrate(t, ['--url', url, '--seed']), { code: 0, stdout: `applied ${(await listMigrations()).join(', ')}\n`, stderr: '' })
  t.same(await migrate(t, ['--url', url, '--seed']), { code: 0, stdout: NOTHING, stderr: '' })
  t.same(await migrate(t, [], { SUPABASE_DB_URL: url }), { code: 0, stdout: NOTHING, stderr: '' }, 'the database of the environment')
  const client = await connect(t, url)
  t.equal((await client.query('select from public.agents')).rowCount, 3)
})

t.test('npm run migrate -- --seed on a database of production asks for --yes-demo, before it connects', async t => {
  const refused = /^--seed adds an admin and an API key that everybody knows to a database of production: add --yes-demo if you mean it\n$/
  const supabase = 'postgres://postgres:x@db.project.supabase.co/postgres?host=db.project.supabase.co'
  t.match(await migrate(t, ['--url', supabase, '--seed']), { code: 1, stdout: '', stderr: refused })
  t.match(await migrate(t, ['--url', 'postgres://u@127.0.0.1:1/x', '--seed'], { NODE_ENV: 'production' }), { code: 1, stdout: '', stderr: refused })
  for (const args of [['--seed', '--yes-demo'], []]) {
    t.match(await migrate(t, ['--url', 'postgres://u@127.0.0.1:1/x', ...args], { NODE_ENV: 'production' }), { code: 1, stderr: /^no connection to/ }, args.join(' '))
  }
})

t.test('npm run migrate prints the notices of migrations, and no others', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t, { migrated: false })
  const client = await connect(t, url)
  const sql = {
    async run (sql: string) { await client.query(sql) },
    async query (sql: string, values: unknown[]) { return (await client.query(sql, values)).rows }
  }
  await pasteAs020(sql, [])
  await client.query(`create table public.credit_usage (user_id uuid, credits_used integer constraint only_used check (credits_used >= 0),
    operation_type text, description text not null)`)
  const { code, stderr } = await migrate(t, ['--url', url])
  t.equal(code, 0)
  t.match(stderr, /^notice: credit_usage: dropped the constraint only_used, which refused rows of the service$/m)
  t.match(stderr, /^notice: credit_usage: the column description may be null now, because the service does not fill it$/m)
  t.notMatch(stderr, /skipping/)
  t.equal(stderr.match(/^notice: /mg)?.length, stderr.split('\n').length - 1)
})

t.test('npm run migrate on a server that wants to know who comes', async t => {
  const cluster = await createCluster(t, { hba: ['host all owner,guest 127.0.0.1/32 scram-sha-256'] })
  if (!cluster) return
  await cluster.query('create role owner login superuser password \'the-right-one\'; create role guest login password \'a-guest\'')
  const url = await cluster.createDatabase({ migrated: false })
  const as = (username: string, password = '') => Object.assign(new URL(url), { username, password }).href
  const { host } = new URL(url)

  t.test('takes the password of the environment', async t => {
    t.match(await migrate(t, ['--url', as('owner')], { PGPASSWORD: 'the-right-one' }), { code: 0, stdout: /^applied /, stderr: '' })
    t.match(await migrate(t, ['--url', as('owner', 'the-right-one')], { PGPASSWORD: 'another' }), { code: 0, stdout: NOTHING }, 'that of the URL wins')
  })

  t.test('says in a sentence what is refused, without the password', async t => {
    const cases: Array<[url: string, sentence: string | RegExp]> = [
      [as('owner'), `${host} asks for a password: put it in the URL, or in PGPASSWORD\n`],
      [as('owner', 'the-wrong-one'), 'password authentication failed for user "owner": see the password in the URL, or PGPASSWORD\n'],
      [cluster.url('nothing'), 'database "nothing" does not exist\n'],
      [`${url}?sslmode=require`, `${host} does not take encrypted connections: add sslmode=disable to the URL\n`],
      [as('guest', 'a-guest'), /^(permission denied|must be owner) .+; connect as the role that owns the database's tables \(on Supabase: postgres\)\n$/]
    ]
    for (const [url, stderr] of cases) t.match(await migrate(t, ['--url', url]), { code: 1, stdout: '', stderr }, String(stderr))
  })
})

t.test('npm run migrate -- --print writes the script, and nothing else', async t => {
  t.same(await migrate(t, ['--print']), { code: 0, stdout: await printMigrations(), stderr: '' })
})

t.test('npm run migrate -- --into writes the files, says what comes next, and the second time that there is nothing', async t => {
  const folder = join(t.testdir({ migrations: { '20250101000000_first.sql': 'select 1;' } }), 'migrations')
  const { code, stdout, stderr } = await migrate(t, ['--into', folder])
  t.match({ code, stderr }, { code: 0, stderr: '' })
  const files = (await readdir(folder)).filter(name => name.includes('_jeesi_'))
  t.equal(files.length, (await listMigrations()).length)
  t.same(stdout.split('\n'), [
    ...files.map(name => `wrote ${name}`),
    'next, in that project: supabase link (once), then supabase db push --remote; before version 3 of the Supabase CLI, supabase db push',
    ''
  ])
  t.match(await readFile(join(folder, files[0]!), 'utf8'), /^-- jeesi-railway-backend 20261129000000_baseline;/)
  t.match(await migrate(t, ['--into', folder]), { code: 0, stdout: `nothing to write: ${folder} has all ${files.length} migrations\n` })
})

t.test('node dist/migrate.js works with the files of the image alone, from any directory', async t => {
  const image = await makeDirectory(t, 'image')
  const folder = await makeDirectory(t, 'platform')
  await mkdir(join(folder, 'migrations'))
  const stage = (await readFile(join(ROOT, 'Dockerfile'), 'utf8')).split(/^FROM /m).at(-1)!
  const copied = [...stage.matchAll(/^COPY (?:--from=build \/app\/)?(\S+) \.\//mg)].map(([, name]) => name!)
  t.ok(copied.includes('dist') && copied.includes('supabase'), copied.join(', '))
  for (const name of copied.filter(name => name !== 'node_modules')) {
    await cp(name === 'dist' ? dirname(pathOf('migrate.js')) : join(ROOT, name), join(image, name), { recursive: true })
  }
  const start = async (...args: string[]) => promisify(execFile)('env', ['-i', process.execPath, join(image, 'dist/migrate.js'), ...args], { cwd: folder, maxBuffer: 2 ** 24 })
  t.equal((await start('--print')).stdout, await printMigrations())
  t.match((await start('--into', 'migrations')).stdout, /^wrote \d{14}_jeesi_baseline\.sql$/m)
  if (!await findPostgres(t)) return
  t.match((await start('--url', await createPostgres(t, { migrated: false }))).stdout, /^applied 20261129000000_baseline\.sql, /)
})

async function connect (t: Test, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  return client
}
