import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { UnfitDatabaseError } from '../../src/database/port.js'
import { migratePostgres } from '../../src/database/postgres.js'
import { startGateway } from '../support/doubles/gateway.js'
import { type Cluster, createCluster } from '../support/doubles/postgres-cluster.js'
import { startPostgrest } from '../support/doubles/postgrest.js'
import { findFreePort } from '../support/doubles/programs.js'
import { DEMO_AGENT, DEMO_KEY, readStream, type Service, startService } from '../support/helper.js'
import { launch, run } from '../support/process.js'

const KEY = 'service-role-key'
/** For whom the server wants a password. */
const HBA = ['host all by_password 127.0.0.1/32 scram-sha-256']
const SECRETS = { SUPABASE_JWT_SECRET: 'secret', LOVABLE_API_KEY: 'key' }

const VERSIONS: Array<[string, object, RegExp]> = [
  ['an older schema', { version: 1 }, /^the database's schema \(version 1\) is older than this release needs \(version 5\): run npm run migrate -- --url <postgres url>, or execute what npm run migrate -- --print writes in the SQL editor$/],
  ['a newer schema that does not serve', { version: 9, oldest: 6, writable: true }, /^the database's schema \(version 9\) is newer than this release understands \(version 5\): deploy the newer release$/]
]
const LACKING = /^the database lacks the migrations of this service: run npm run migrate -- --url <postgres url>, or execute what npm run migrate -- --print writes in the SQL editor$/
const STILL_SERVES = { version: 9, oldest: 2, writable: true }

function linesOf ({ logs }: Service): string[] {
  return logs.map(line => JSON.parse(line).message)
}

async function refuses (t: Test, variables: Record<string, string>, line: RegExp, what: string): Promise<void> {
  const error = await startService(t, variables).then(() => undefined, error => error)
  t.ok(error instanceof UnfitDatabaseError, what)
  t.match(error.message, line, what)
}

async function setVersion (cluster: Cluster, url: string, version: object): Promise<void> {
  await cluster.query(`create or replace function public.schema_version() returns jsonb language sql as
    $$ select '${JSON.stringify(version)}'::jsonb $$`, new URL(url).pathname.slice(1))
}

t.test('the first contact with a database by SUPABASE_DB_URL', async t => {
  const cluster = await createCluster(t, { hba: HBA })
  if (!cluster) return
  await cluster.query('create role by_password login superuser password \'the-right-one\'')
  const url = await cluster.createDatabase()
  const withUser = (user: string, password = '') => Object.assign(new URL(url), { username: user, password }).href

  t.test('ends a start by what only an operator can mend', async t => {
    const empty = await cluster.createDatabase({ migrated: false })
    await refuses(t, { SUPABASE_DB_URL: empty }, LACKING, 'no migrations')
    for (const [what, version, line] of VERSIONS) {
      const other = await cluster.createDatabase()
      await setVersion(cluster, other, version)
      await refuses(t, { SUPABASE_DB_URL: other }, line, what)
    }
    await refuses(t, { SUPABASE_DB_URL: withUser('nobody') }, /^the database refuses this service: role "nobody" does not exist; write the right user and password into SUPABASE_DB_URL$/, 'no role')
    await refuses(t, { SUPABASE_DB_URL: withUser('by_password') }, /^the database refuses this service: SASL: .+; write the right user and password into SUPABASE_DB_URL$/, 'no password')
    await refuses(t, { SUPABASE_DB_URL: cluster.url('nothing') }, /^the database refuses this service: database "nothing" does not exist; write a database that exists into SUPABASE_DB_URL$/, 'no database')
  })

  t.test('begins by the right password, and with a newer schema that still serves', async t => {
    const other = await cluster.createDatabase()
    await setVersion(cluster, other, STILL_SERVES)
    const right = Object.assign(new URL(other), { username: 'by_password', password: 'the-right-one' }).href
    const service = await startService(t, { SUPABASE_DB_URL: right })
    t.match(await service.request('GET', '/ready'), { status: 200, body: { database: 'up' } })
    t.equal((await service.execute()).text, 'Hello world')
    const lines = linesOf(service)
    t.match(lines[0], /^database: PostgreSQL at SUPABASE_DB_URL, 127\.0\.0\.1:\d+, direct connection, no TLS, at most 21 connections$/)
    t.match(lines[1], /^the database's schema \(version 9\) is newer than this release \(version 5\), and still serves it$/)
    t.notMatch(service.logs.join(''), /by_password|the-right-one/)
  })

  t.test('is one line on standard error, and exit code 1', async t => {
    const cases: Array<[string, string, RegExp]> = [
      ['no migrations', await cluster.createDatabase({ migrated: false }), /^the database lacks the migrations .+ npm run migrate -- --url .+\n$/],
      ['a wrong password', withUser('by_password', 'the-wrong-one'), /^the database refuses this service: password authentication failed for user "by_password"; write the right user and password into SUPABASE_DB_URL\n$/],
      ['a URL that makes no sense', `${url}?sslmode=perhaps`, /^the database URL has an unknown sslmode: .+\n$/]
    ]
    await Promise.all(cases.map(async ([what, url, line]) => {
      const { code, stdout, stderr } = await run(t, 'server.js', [], { PORT: '0', ...SECRETS, SUPABASE_DB_URL: url })
      t.equal(code, 1, what)
      t.match(stderr, line, what)
      t.notMatch(stdout + stderr, /the-wrong-one|\n {4}at /, what)
      t.notMatch(stdout, /listening/, what)
    }))
  })

  t.test('with one that is down comes later: the service waits, says so once, and works when it is there', async t => {
    const gateway = await startGateway(t)
    await cluster.stop('fast')
    const child = launch(t, 'server.js', [], {
      PORT: '0', HOST: '127.0.0.1', ...SECRETS, AI_GATEWAY_URL: gateway.url, SUPABASE_DB_URL: url, SUPABASE_JWT_SECRET: 'secret'
    })
    const lines: string[] = []
    const output = createInterface({ input: child.stdout! }).on('line', line => lines.push(JSON.parse(line).message))
    const until = async (text: RegExp) => { while (!lines.some(line => text.test(line))) await once(output, 'line') }
    await until(/^listening at/)
    const service = /http:\S+/.exec(lines.find(line => line.startsWith('listening at'))!)![0]
    const execute = () => fetch(`${service}/api/agent/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': DEMO_KEY },
      body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] })
    })
    t.equal((await fetch(`${service}/health`)).status, 200)
    const ready = await fetch(`${service}/ready`)
    t.equal(ready.status, 503)
    t.match(await ready.json(), { status: 'not_ready', database: 'down' })
    const refused = await execute()
    t.equal(refused.status, 503)
    t.match(await refused.json(), { code: 'database_unavailable' })

    await cluster.start()
    await until(/^the database is there$/)
    t.equal((await fetch(`${service}/ready`)).status, 200)
    t.equal((await readStream(await execute())).text, 'Hello world')
    t.match(lines.filter(line => /database/.test(line) && !/AGENT|cannot be reached/.test(line)), [
      /^database: PostgreSQL/, /^waiting for the database: connect ECONNREFUSED 127\.0\.0\.1:\d+$/, /^the database is there$/
    ])
    t.equal(lines.filter(line => /waiting for|is there|could not be asked/.test(line)).length, 2, 'one line when it is away, one when it is there')
  })

  t.test('with one that was down and lacks the migrations is one error line, until it has them', async t => {
    const late = await cluster.createDatabase({ migrated: false })
    await cluster.stop('immediate')
    const service = await startService(t, { SUPABASE_DB_URL: late })
    await cluster.start()
    while (!linesOf(service).some(line => line.startsWith('the database lacks'))) await service.request('GET', '/ready')
    t.match(await service.request('GET', '/ready'), { status: 503, body: { database: 'down' } })
    for (let time = 0; time < 2; time++) {
      t.match(await service.request('GET', '/api/credits'), { status: 503, body: { code: 'database_not_migrated' } })
    }
    t.equal(service.logs.filter(line => /"level":"error"/.test(line)).length, 1)
    await migratePostgres(late, { seed: true })
    t.match(await service.request('GET', '/ready'), { status: 200, body: { database: 'up' } })
    t.match(await service.credits(), { creditsRemaining: 100 })
  })
})

t.test('the first contact with a database by SUPABASE_URL', async t => {
  const answering = async (answer: object | Error) => ({
    SUPABASE_SERVICE_ROLE_KEY: KEY,
    SUPABASE_URL: await startPostgrest(t, { query: async () => { if (answer instanceof Error) throw answer; return [{ result: answer }] } }, KEY)
  })
  const failing = (code: string, message: string) => answering(Object.assign(new Error(message), { code }))

  t.test('ends a start by what only an operator can mend', async t => {
    await refuses(t, await failing('42883', 'function does not exist'), LACKING, 'no migrations')
    for (const [what, version, line] of VERSIONS) await refuses(t, await answering(version), line, what)
    const wrong = { ...await answering({}), SUPABASE_SERVICE_ROLE_KEY: 'a-wrong-key' }
    await refuses(t, wrong, /^the database refuses this service: Invalid API key; set SUPABASE_SERVICE_ROLE_KEY to the service role key, or a secret key \(sb_secret_…\), of the project at SUPABASE_URL$/, 'a wrong key')
    await refuses(t, await failing('42501', 'permission denied for function schema_version'), /permission denied for function schema_version; SUPABASE_SERVICE_ROLE_KEY must be the service role key and not the anon key, or .+$/, 'an anon key')
  })

  t.test('goes on with a newer schema that still serves, and waits for one that is away or can only be read', async t => {
    const newer = await startService(t, await answering(STILL_SERVES))
    t.match(linesOf(newer)[1], /still serves it$/)
    const away = await startService(t, { SUPABASE_URL: `http://127.0.0.1:${await findFreePort()}`, SUPABASE_SERVICE_ROLE_KEY: KEY })
    t.match(linesOf(away).filter(line => line.startsWith('waiting')), [/^waiting for the database: connect ECONNREFUSED/])
    t.match(await away.request('GET', '/ready'), { status: 503, body: { database: 'down' } })
    t.match(await away.request('GET', '/api/credits'), { status: 503, body: { code: 'database_unavailable' } })
    const standby = await startService(t, await answering({ version: 5, oldest: 4, writable: false }))
    t.match(linesOf(standby).filter(line => line.startsWith('waiting')), [/^waiting for the database: it can be read only/])
    t.match(await standby.request('GET', '/ready'), { status: 503, body: { database: 'down' } })
  })
})
