import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import type { Test } from 'tap'
import { createDataDir } from '../support/helper.js'

/** The embedded database with its demo rows, to be asked by SQL. */
export async function openSql (t: Test): Promise<PGlite> {
  const sql = await PGlite.create(join(await createDataDir(t), 'postgres'))
  t.teardown(() => sql.close())
  return sql
}

/** The bodies of all SQL functions of schema public, as they stand after the last migration. */
export async function bodiesOfFunctions (sql: PGlite): Promise<string[]> {
  const { rows } = await sql.query<{ body: string }>("select prosrc as body from pg_proc where pronamespace = 'public'::regnamespace")
  return rows.map(({ body }) => body)
}
