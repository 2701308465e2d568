import pg from 'pg'
import t, { type Test } from 'tap'
import { listMigrations } from '../../src/database/migrations.js'
import { connectPostgres, migratePostgres } from '../../src/database/postgres.js'
import { untyped } from '../support/database.js'
import { startPgbouncer } from '../support/doubles/pgbouncer.js'
import { createPostgres, findPostgres } from '../support/helper.js'
import { TEST_FUNCTIONS, testDatabase } from './contract.js'

const VERSION = { version: 5, oldest: 4, writable: true }

async function createTested (t: Test): Promise<string> {
  const url = await createPostgres(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(TEST_FUNCTIONS)
  await client.end()
  return url
}

t.test('the database by a pooler', async t => {
  if (!await findPostgres(t)) return

  t.test('in transaction mode, which the URL tells', async t => {
    const url = await startPgbouncer(t, 'transaction', await createTested(t))
    if (!url) return
    url.searchParams.set('pgbouncer', 'true')
    const database = connectPostgres({ url: url.href, onBroken: error => t.error(error), onTransactionPooler: () => t.fail('it is known') })
    t.teardown(() => database.close())
    await testDatabase(t, database)
    await t.resolves(Promise.all(Array.from({ length: 50 }, () => database.call('schema_version'))))
  })

  t.test('in session mode', async t => {
    // A session a connection: what waits for more than there are waits in vain.
    const url = await startPgbouncer(t, 'session', await createTested(t), 25)
    if (!url) return
    const database = connectPostgres({ url: url.href, onBroken: error => t.error(error), onTransactionPooler: () => t.fail('it is none') })
    t.teardown(() => database.close())
    await testDatabase(t, database)
    await t.resolves(Promise.all(Array.from({ length: 50 }, () => untyped(database)('test_sql', { p_sql: 'select 1' }))))
  })

  t.test('in transaction mode, which shows itself: every call is answered, and it is said once', async t => {
    const url = await startPgbouncer(t, 'transaction', await createTested(t))
    if (!url) return
    let told = 0
    const database = connectPostgres({ url: url.href, onTransactionPooler: () => { told++ } })
    t.teardown(() => database.close())
    const echo = async (text: string) => (await untyped(database)<{ text: string }>('test_echo', { p_text: text })).text
    const texts = Array.from({ length: 200 }, (_, index) => `text ${index}`)
    t.same(await Promise.all(texts.map(echo)), texts)
    t.equal(told, 1)
    await testDatabase(t, database)
    t.equal(told, 1)
  })

  t.test('is one to migrate by, in transaction mode too', async t => {
    const url = await startPgbouncer(t, 'transaction', await createPostgres(t, { migrated: false }))
    if (!url) return
    url.searchParams.set('pgbouncer', 'true')
    t.same(await migratePostgres(url.href, { seed: true }), await listMigrations())
    t.same(await migratePostgres(url.href), [])
    const database = connectPostgres({ url: url.href })
    t.teardown(() => database.close())
    t.match(await database.call('schema_version'), VERSION)
  })

  t.test('whose server is gone is told as such, in its words', async t => {
    const url = await startPgbouncer(t, 'transaction', 'postgres://postgres@127.0.0.1:1/nothing')
    if (!url) return
    const database = connectPostgres({ url: url.href })
    t.teardown(() => database.close())
    await t.rejects(database.call('schema_version'), { code: 'database_unavailable', cause: { code: '08P01', message: /query_wait_timeout|server/ } })
  })
})
