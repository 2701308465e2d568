import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import t, { type Test } from 'tap'
import { connectSupabase } from '../../src/database/supabase.js'
import { type Sql, startPostgrest } from '../support/doubles/postgrest.js'
import { findFreePort } from '../support/doubles/programs.js'
import { createDataDir, createPostgres, findPostgres } from '../support/helper.js'
import { IS_WHOLE } from '../support/scope.js'
import { TEST_FUNCTIONS, testDatabase } from './contract.js'

const KEY = 'sb_secret_for_these_tests'
const UNAVAILABLE = { code: 'database_unavailable', statusCode: 503, message: /cannot be reached/ }

// PostgREST calls functions in the role of the key, so these do too: what is not granted to service_role fails here.

// Where there is a server, the PostgREST of the short run is before that: test/database/embedded.test.ts holds PGlite to the same contract.
t.test('the database by supabase-js, on PGlite', async t => {
  if (!IS_WHOLE && await findPostgres(t)) return
  const pglite = await PGlite.create(join(await createDataDir(t), 'postgres'))
  t.teardown(() => pglite.close())
  await pglite.exec(`${TEST_FUNCTIONS}; set role service_role`)
  await testSupabase(t, { query: async (text, values) => (await pglite.query<Record<string, any>>(text, values)).rows })
})

t.test('the database by supabase-js, on PostgreSQL', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const pool = new pg.Pool({ connectionString: url, options: '-c role=service_role' })
  // A connection may outlive the pool's end by a moment, and its database be dropped in that.
  pool.on('error', () => {})
  t.teardown(() => pool.end())
  const owner = new pg.Client({ connectionString: url })
  await owner.connect()
  await owner.query(TEST_FUNCTIONS)
  await owner.end()
  await testSupabase(t, { query: async (text, values) => (await pool.query(text, values)).rows })
})

async function testSupabase (t: Test, sql: Sql): Promise<void> {
  const database = connectSupabase(await startPostgrest(t, sql, KEY), KEY)
  t.teardown(() => database.close())
  await testDatabase(t, database)
}

t.test('a server that is not there is told as such', async t => {
  const host = `127.0.0.1:${await findFreePort()}`
  await t.rejects(connectSupabase(`http://${host}`, KEY).call('schema_version'), { ...UNAVAILABLE, cause: { message: `connect ECONNREFUSED ${host}` } })
})

t.test('so is a proxy that answers in place of one that is down', async t => {
  let status = 502
  const server = createServer((_request, response) => {
    response.writeHead(status, { 'content-type': 'text/html' }).end(`<html><h1>${status} Bad Gateway</h1></html>`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const database = connectSupabase(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, KEY)
  for (status of [502, 503, 504, 521]) await t.rejects(database.call('schema_version'), { ...UNAVAILABLE, cause: { message: `HTTP ${status}` } })
})

t.test('so is a PostgREST without its database', async t => {
  const sql = { query: async () => { throw Object.assign(new Error('the database system is starting up'), { code: '57P03' }) } }
  const database = connectSupabase(await startPostgrest(t, sql, KEY), KEY)
  await t.rejects(database.call('schema_version'), UNAVAILABLE)
})

t.test('a key that the server does not take is for the operator to mend, and is not named', async t => {
  const database = connectSupabase(await startPostgrest(t, { query: async () => [] }, KEY), 'another-key')
  await t.rejects(database.call('schema_version'), { ...UNAVAILABLE, cause: { code: 'HTTP 401', message: /^((?!another-key).)*$/ } })
})
