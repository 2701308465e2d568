import { EventEmitter, once } from 'node:events'
import pg from 'pg'
import t from 'tap'
import { translateError } from '#shared/sql-errors.ts'
import { FunctionCalls } from '../../src/database/function-calls.js'
import { connectPostgres } from '../../src/database/postgres.js'
import { untyped } from '../support/database.js'
import { createPostgres, DEMO_AGENT, DEMO_USER, findPostgres } from '../support/helper.js'
import { TEST_FUNCTIONS, testDatabase } from './contract.js'

const UNAVAILABLE = { code: 'database_unavailable', statusCode: 503, message: /cannot be reached/ }

t.test('the database by a pool of connections', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  await client.query(TEST_FUNCTIONS)
  const database = connectPostgres({ url, onBroken: error => t.error(error) })
  t.teardown(() => database.close())
  await testDatabase(t, database)

  t.test('a call whose connection the server ends is told so; connections that broke are replaced', async t => {
    const idle = new EventEmitter()
    const database = connectPostgres({ url: `${url}?application_name=doomed`, onBroken: error => idle.emit('broken', error) })
    t.teardown(() => database.close())
    await database.call('schema_version')
    const broken = once(idle, 'broken')
    await endConnections(client)
    t.match(await broken, [{ code: '57P01' }], 'an idle one is only reported')
    const refused = t.rejects(untyped(database)('test_sql', { p_sql: 'select pg_sleep(60)' }), UNAVAILABLE)
    while (await endConnections(client) === 0);
    await refused
    t.match(await database.call('schema_version'), { version: 5, oldest: 4, writable: true, now: /^\d{4}-.+Z$/ })
  })

  t.test('statements are prepared once a connection', async t => {
    const database = connectPostgres({ url, maxConnections: 1 })
    t.teardown(() => database.close())
    const prepared = () => untyped(database)<unknown[]>('test_sql', {
      p_sql: 'select name from pg_prepared_statements where statement like \'%test_sql%\''
    })
    t.match(await prepared(), [{ name: /^jeesi_\w{16}$/ }])
    t.equal((await prepared()).length, 1)
  })

  t.test('texts of runs are compressed by LZ4, where the server has it', async t => {
    const { rows: [run] } = await client.query(`insert into public.agent_runs (user_id, agent_id, status, request_hash, response)
      values ('${DEMO_USER}', '${DEMO_AGENT}', 'succeeded', '', repeat('A long answer. ', 1000)) returning id`)
    const { rows } = await client.query('select pg_column_compression(response) as compression from public.agent_runs where id = $1', [run.id])
    t.same(rows, [{ compression: 'lz4' }])
  })

  t.test('an error that is an answer keeps its connection', async t => {
    const database = connectPostgres({ url, maxConnections: 1 })
    t.teardown(() => database.close())
    const pid = async () => (await untyped(database)<Array<{ pid: number }>>('test_sql', { p_sql: 'select pg_backend_pid() as pid' }))[0]!.pid
    const before = await pid()
    await t.rejects(database.call('get_run', { p_user_id: DEMO_USER, p_run_id: DEMO_USER }), { code: 'run_not_found' })
    await t.rejects(untyped(database)('test_sql', { p_sql: 'select 1 / 0' }), { code: 'internal_error' })
    await t.rejects(untyped(database)('end_forsaken_runs', { p_user_id: DEMO_USER }), { code: 'internal_error' }, 'what it returns is no jsonb')
    t.equal(await pid(), before)
  })

  t.test('a sign of life that is not answered is given up with its connection, before a lease ends', async t => {
    const database = connectPostgres({ url })
    t.teardown(() => database.close())
    const beat = () => database.call('heartbeat_worker', { p_owner: DEMO_USER, p_lease_seconds: 6 })
    await beat()
    await client.query('begin; lock table public.agent_workers')
    const since = performance.now()
    await t.rejects(beat(), UNAVAILABLE)
    t.ok(performance.now() - since < 4000)
    await database.call('schema_version')
    t.ok(performance.now() - since < 5000, 'the next has another')
    await client.query('rollback')
    t.match(await beat(), { lapsed: false })
  })

  t.test('a pool that is exhausted refuses in time, and holds up no sign of life', async t => {
    const database = connectPostgres({ url, maxConnections: 2 })
    t.teardown(() => database.close())
    const sleeping = [1, 2].map(() => untyped(database)('test_sql', { p_sql: 'select pg_sleep(7)' }))
    const since = performance.now()
    const refused = t.rejects(untyped(database)('test_echo'), { ...UNAVAILABLE, cause: { message: 'no connection came free in time' } })
    await database.call('heartbeat_worker', { p_owner: DEMO_USER, p_lease_seconds: 6 })
    await database.call('claim_runs', { p_owner: DEMO_USER, p_lease_seconds: 6, p_limit: 1 })
    await database.call('schema_version')
    t.ok(performance.now() - since < 2000, 'these have a connection of their own')
    await refused
    t.ok(performance.now() - since < 6000)
    await Promise.all(sleeping)
    t.match(await untyped(database)('test_echo'), { text: 'unset' })
  })

  t.test('a connection that dies at the very moment it is made ends nothing but its call', async t => {
    const database = connectPostgres({ url: `${url}?application_name=doomed` })
    t.teardown(() => database.close())
    for (let round = 0; round < 20; round++) {
      const end = { code: undefined as string | undefined }
      untyped(database)('test_sql', { p_sql: 'select pg_sleep(60)' }).catch(({ code }) => { end.code = code })
      while (!end.code) await endConnections(client)
      t.equal(end.code, 'database_unavailable')
    }
  })
})

t.test('a call that cannot be sent is told so, and its connection goes on; of a group nothing may be committed, and it does not', t => {
  /** What is said on the wire where the values of a call cannot be sent. */
  const submit = (calls: unknown[][]) => {
    const said: string[] = []
    const say = (what: string) => () => { said.push(what) }
    const wire = {
      stream: { cork: say('cork'), uncork: say('uncork'), destroy: say('destroy') },
      parsedStatements: {},
      parse: say('parse'),
      bind ({ values }: { values: unknown[] }) {
        if (values[0] === 'long') throw new RangeError('no room')
        said.push('bind')
      },
      execute: say('execute'),
      sync: say('sync')
    }
    const errors: unknown[] = []
    const call = new FunctionCalls('select 1', calls, { name: 'one', timeout: 1000 })
    call.callback = error => { errors.push(error) }
    call.submit(wire as never)
    t.match(errors, [{ message: 'no room' }])
    return said
  }
  t.strictSame(submit([['long']]), ['cork', 'parse', 'sync', 'uncork'])
  t.strictSame(submit([['short'], ['long']]), ['cork', 'parse', 'bind', 'execute', 'destroy', 'uncork'])
  t.end()
})

t.test('a server that is not there is told as such', async t => {
  const database = connectPostgres({ url: 'postgres://nobody@127.0.0.1:1/nothing' })
  t.teardown(() => database.close())
  await t.rejects(database.call('schema_version'), UNAVAILABLE)
})

t.test('what goes by with time is unavailability, what does not is an internal error', async t => {
  for (const code of ['28P01', '28000', '3D000', '57014', '08P01', 'XX000', 'SELF_SIGNED_CERT_IN_CHAIN', 'HTTP 401', 'PGRST301', 'ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', '57P03', '08006', '53300', '25006']) {
    t.equal(translateError({ code, message: 'no' }).code, 'database_unavailable', code)
  }
  for (const code of ['22P02', '23505', '42501', '42601', 'PT402', 'PT40']) {
    t.equal(translateError({ code, message: 'no' }).code, 'internal_error', code)
  }
  t.match(translateError({ code: 'PT418', hint: 'teapot', message: 'No.' }), { code: 'teapot', statusCode: 418, message: 'No.' })
})

/** Ends the connections that call themselves doomed; how many there were. */
async function endConnections (client: pg.Client): Promise<number> {
  const { rows } = await client.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = \'doomed\'')
  return rows.length
}
