import { readFile } from 'node:fs/promises'
import type { SqlRunner } from '../../src/database/migrations.js'

const SUPABASE = new URL('../../supabase/', import.meta.url)

/** The migrations of release 0.2.0. */
export const RELEASE_020 = ['20261129000000_baseline.sql', '20261129000100_mend_live_project.sql']

/** Migrates as release 0.2.0 does, which notes what it applied in the table of the Supabase CLI. */
export async function migrateAs020 (sql: SqlRunner): Promise<void> {
  await sql.run(await readSql('platform.sql'))
  await sql.run(`
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations (version text primary key, statements text[], name text);`)
  for (const file of RELEASE_020) {
    const [, version, name] = /^(\d+)_(.+)\.sql$/.exec(file)!
    const known = await sql.query('select from supabase_migrations.schema_migrations where version = $1', [version])
    if (known.length > 0) continue
    await sql.run(`${await readSql(`migrations/${file}`)}
      ;insert into supabase_migrations.schema_migrations (version, name) values ('${version}', '${name}');`)
  }
}

/** Pastes the files of release 0.2.0, which notes nothing. */
export async function pasteAs020 (sql: SqlRunner, files = RELEASE_020): Promise<void> {
  for (const file of ['platform.sql', ...files.map(file => `migrations/${file}`)]) await sql.run(await readSql(file))
}

function readSql (file: string): Promise<string> {
  return readFile(new URL(file, SUPABASE), 'utf8')
}
