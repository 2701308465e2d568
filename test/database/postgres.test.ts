import { EventEmitter, once } from 'node:events'
import pg from 'pg'
import t from 'tap'
import { translateError } from '../../src/database/port.js'
import { connectPostgres } from '../../src/database/postgres.js'
import { createPostgres, findPostgres } from '../helper.js'
import { TEST_FUNCTIONS, testDatabase } from './contract.js'

const UNAVAILABLE = { code: 'database_unavailable', statusCode: 503, message: /cannot be reached/ }

t.test('the database by a pool of connections', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  await client.query(TEST_FUNCTIONS)
  const database = connectPostgres(url, error => t.error(error))
  t.teardown(() => database.close())
  await testDatabase(t, database)

  t.test('a call whose connection the server ends is told so; connections that broke are replaced', async t => {
    const idle = new EventEmitter()
    const database = connectPostgres(`${url}?application_name=doomed`, error => idle.emit('broken', error))
    t.teardown(() => database.close())
    await database.call('schema_version')
    const broken = once(idle, 'broken')
    await endConnections(client)
    t.match(await broken, [{ code: '57P01' }], 'an idle one is only reported')
    const refused = t.rejects(database.call('test_sql', { p_sql: 'select pg_sleep(60)' }), UNAVAILABLE)
    while (await endConnections(client) === 0);
    await refused
    t.same(await database.call('schema_version'), { version: 2, oldest: 1, writable: true })
  })
})

t.test('a server that is not there is told as such', async t => {
  const database = connectPostgres('postgres://nobody@127.0.0.1:1/nothing', () => {})
  t.teardown(() => database.close())
  await t.rejects(database.call('schema_version'), UNAVAILABLE)
})

t.test('what goes by with time is unavailability, what does not is an internal error', async t => {
  for (const code of ['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', '57P03', '08006', '53300', '25006']) {
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
