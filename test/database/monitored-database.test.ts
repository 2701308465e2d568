import t, { type Test } from 'tap'
import { translateError } from '#shared/sql-errors.ts'
import { MonitoredDatabase } from '../../src/database/monitored-database.js'
import { UnfitDatabaseError } from '../../src/database/port.js'
import { SCHEMA_VERSION } from '../../src/database/schema-version.js'

const FITS = { version: SCHEMA_VERSION, oldest: 1, writable: true }
const OWNER = { p_owner: 'owner' }
const AWAY = translateError({ code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' })

/** A monitored database whose answers the test sets. */
function monitor (t: Test, first: unknown) {
  const log: string[] = []
  let heard = () => {}
  const told = (level: string) => (message: string) => {
    log.push(`${level}: ${message}`)
    heard()
  }
  const database = {
    answer: first,
    asked: 0,
    calls: [] as string[],
    async call (fn: string, _args?: object): Promise<any> {
      if (fn === 'schema_version') database.asked++
      else database.calls.push(fn)
      await new Promise(resolve => setImmediate(resolve))
      if (database.answer instanceof Error) throw database.answer
      return await database.answer
    },
    async close () {}
  }
  const monitored = new MonitoredDatabase(database, { info: told('info'), warn: told('warn'), error: told('error') } as never)
  // What waits keeps no process alive, and here there is nothing else.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => {
    clearInterval(alive)
    return monitored.close()
  })
  return { monitored, database, log, nextLine: () => new Promise<void>(resolve => { heard = resolve }) }
}

t.test('a database that fits is not spoken of, nor asked for without need', async t => {
  const { monitored, database, log } = monitor(t, FITS)
  await monitored.connect()
  await monitored.call('get_owned_runs', OWNER)
  t.same(log, [])
  t.equal(database.asked, 1)
})

t.test('at the start, what only an operator can mend is thrown', async t => {
  const cases: Array<[string, unknown, RegExp]> = [
    ['no function', translateError({ code: '42883', message: 'function does not exist' }), /lacks the migrations .+ npm run migrate -- --url .+ npm run migrate -- --print/],
    ['nothing', null, /lacks the migrations/],
    ['a page', '<html>', /lacks the migrations/],
    ['an older schema', { version: SCHEMA_VERSION - 1 }, /\(version 4\) is older .+ \(version 5\): run npm run migrate -- --url/],
    ['a newer one that does not serve', { version: 9, oldest: 6, writable: true }, /\(version 9\) is newer .+ \(version 5\): deploy the newer release/],
    ['a password', translateError({ code: '28P01', message: 'password authentication failed for user "x"' }), /refuses this service: password authentication failed for user "x"; write the right user and password into SUPABASE_DB_URL$/],
    ['no password', translateError({ message: 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string' }), /refuses this service: SASL.+; write the right user and password into SUPABASE_DB_URL$/],
    ['a database', translateError({ code: '3D000', message: 'database "x" does not exist' }), /database "x" does not exist/],
    ['a key', translateError({ code: 'HTTP 401', message: 'Invalid API key' }), /Invalid API key; set SUPABASE_SERVICE_ROLE_KEY to the service role key, or a secret key \(sb_secret_…\), of the project at SUPABASE_URL$/],
    ['a key of another role', translateError({ code: '42501', message: 'permission denied for function schema_version' }), /permission denied/],
    ['no encryption', translateError({ code: '28000', message: 'no pg_hba.conf entry for host "x", no encryption' }), /; add sslmode=require/],
    ['a certificate', translateError({ code: 'SELF_SIGNED_CERT_IN_CHAIN', message: 'self-signed certificate in certificate chain' }), /; see SUPABASE_DB_CA/],
    ['an address that is none of Supabase', translateError({ code: 'HTTP 404', message: 'not\nfound' }), /refuses this service: not found; SUPABASE_URL must be the project's URL, such as https:\/\/<project>\.supabase\.co$/]
  ]
  for (const [what, answer, line] of cases) {
    const { monitored, log } = monitor(t, answer)
    const error = await monitored.connect().then(() => undefined, error => error)
    t.ok(error instanceof UnfitDatabaseError, what)
    t.match(error.message, line, what)
    t.notMatch(error.message, '\n', what)
    t.same(log, [], 'and said once')
  }
})

t.test('a newer schema that still serves is used, and mentioned', async t => {
  const { monitored, log } = monitor(t, { version: 9, oldest: SCHEMA_VERSION, writable: true })
  await monitored.connect()
  t.equal(await monitored.isUp(), true)
  t.same(log, [`info: the database's schema (version 9) is newer than this release (version ${SCHEMA_VERSION}), and still serves it`])
})

t.test('a database that is away at the start is waited for, and used once it is known to fit', async t => {
  const { monitored, database, log, nextLine } = monitor(t, AWAY)
  await monitored.connect()
  await t.rejects(monitored.call('get_owned_runs', OWNER), { code: 'database_unavailable', cause: { message: 'connect ECONNREFUSED' } })
  database.answer = null
  const unfit = nextLine()
  await unfit
  await t.rejects(monitored.call('get_owned_runs', OWNER), { code: 'database_not_migrated' })
  t.same(database.calls, [], 'before that nothing is asked of it')
  database.answer = FITS
  await nextLine()
  await monitored.call('get_owned_runs', OWNER)
  t.same(database.calls, ['get_owned_runs'])
  t.match(log, [/^warn: waiting for the database: connect ECONNREFUSED$/, /^error: the database lacks the migrations/, /^info: the database is there$/])
  t.equal(log.length, 3)
})

t.test('a database that says nothing does not hold up the start', async t => {
  const { monitored, database, log } = monitor(t, new Promise(() => {}))
  const since = performance.now()
  await monitored.connect()
  t.ok(performance.now() - since < 3000)
  t.same(log, ['warn: waiting for the database: it did not answer within 2 s'])
  t.equal(database.asked, 1)
})

t.test('one that goes is told of once, and once when it is back', async t => {
  const { monitored, database, log, nextLine } = monitor(t, FITS)
  await monitored.connect()
  database.answer = AWAY
  const gone = nextLine()
  await Promise.all([1, 2, 3].map(() => t.rejects(monitored.call('get_owned_runs', OWNER), { code: 'database_unavailable' })))
  await gone
  t.equal(await monitored.isUp(), false)
  await t.rejects(monitored.call('get_owned_runs', OWNER))
  database.answer = { ...FITS, writable: false }
  await nextLine()
  t.equal(await monitored.isUp(), false, 'who cannot write cannot run')
  database.answer = FITS
  await nextLine()
  t.equal(await monitored.isUp(), true)
  t.match(log, [/^warn: waiting for the database: connect/, /^warn: waiting for the database: it can be read only/, /^info: the database is there$/])
  t.equal(log.length, 3)
})

t.test('one that refuses a call and is there is not spoken of', async t => {
  const { monitored, database, log } = monitor(t, FITS)
  await monitored.connect()
  const refusing = Object.assign(database, {
    call: async (fn: string) => {
      if (fn !== 'schema_version') throw translateError({ code: '55P03', message: 'lock timeout' })
      return FITS
    }
  })
  await t.rejects(monitored.call('get_owned_runs', OWNER), { code: 'database_unavailable' })
  t.equal(await monitored.isUp(), true)
  t.same([log, refusing.asked], [[], 1])
})

t.test('those who ask at the same time share an answer', async t => {
  const { monitored, database } = monitor(t, FITS)
  await monitored.connect()
  t.same(await Promise.all([1, 2, 3, 4].map(() => monitored.isUp())), [true, true, true, true])
  t.equal(database.asked, 2, 'the start\'s, and theirs')
})
