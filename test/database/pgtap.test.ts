import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { pgtap } from '@electric-sql/pglite-pgtap'
import pg from 'pg'
import t, { type Test } from 'tap'
import { createDataDir, createPostgres, findPostgres } from '../support/helper.js'

const FOLDER = new URL('../../supabase/tests/', import.meta.url)

/** Runs a script of several statements; returns all texts it has answered. */
type RunScript = (sql: string) => Promise<string[]>

t.test('the database\'s own tests on PGlite', async t => {
  const pglite = await PGlite.create(join(await createDataDir(t), 'postgres'), { extensions: { pgtap } })
  t.teardown(() => pglite.close())
  await testScripts(t, async sql => (await pglite.exec(sql)).flatMap(({ rows }) => rows.flatMap(textsOf)))
})

t.test('the database\'s own tests on PostgreSQL', async t => {
  if (!await findPostgres(t)) return
  const client = new pg.Client({ connectionString: await createPostgres(t) })
  await client.connect()
  t.teardown(() => client.end())
  const { rows: [{ has }] } = await client.query('select exists (select from pg_available_extensions where name = \'pgtap\') as has')
  if (!has && process.env.REQUIRE_SERVICES) throw new Error('The server has no pgTAP: install its package')
  if (!has) return t.comment('LEFT OUT: the PostgreSQL server has no pgTAP (Debian: postgresql-<version>-pgtap)')
  await testScripts(t, async sql => {
    const results = await client.query(sql) as unknown as pg.QueryResult[]
    return results.flatMap(({ rows }) => rows.flatMap(textsOf))
  })
})

/** Each script's TAP as assertions of ours: that it ran as many tests as it planned, and that each is ok. */
async function testScripts (t: Test, run: RunScript): Promise<void> {
  const files = (await readdir(FOLDER)).filter(file => file.endsWith('.sql')).sort()
  t.ok(files.length > 0)
  for (const file of files) {
    t.test(file, async t => {
      const lines = (await run(await readFile(new URL(file, FOLDER), 'utf8'))).flatMap(text => text.split('\n'))
      const results = lines.filter(line => /^(not )?ok \d+/.test(line))
      const planned = Number(/^1\.\.(\d+)$/.exec(lines.find(line => line.startsWith('1..')) ?? '')?.[1])
      const diagnostics = lines.filter(line => line.startsWith('#'))
      for (const line of results) t.ok(line.startsWith('ok'), line, { diagnostics: line.startsWith('ok') ? undefined : diagnostics })
      t.equal(results.length, planned, 'as many as were planned')
    })
  }
}

function textsOf (row: Record<string, unknown>): string[] {
  return Object.values(row).filter(value => typeof value === 'string')
}
