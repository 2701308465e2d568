import { readdir, readFile } from 'node:fs/promises'
import { ROOT } from '../config/root.js'

const FOLDER = new URL('supabase/', ROOT)

/** Runs SQL: several statements without values, or one statement with values. */
export interface SqlRunner {
  run (sql: string): Promise<void>
  query (sql: string, values: unknown[]): Promise<Array<Record<string, unknown>>>
}

export interface MigrateOptions {
  /** Adds the demo rows. */
  seed?: boolean
}

/**
 * Applies the migrations that a database lacks, each in a transaction of its own, and records them in the table of the
 * Supabase CLI, so that both agree on what has been applied.
 * @returns the file names of the migrations that were applied.
 */
export async function migrate (sql: SqlRunner, { seed = false }: MigrateOptions = {}): Promise<string[]> {
  await sql.run(await readSql('platform.sql'))
  await sql.run(`
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations (version text primary key, statements text[], name text);`)
  const applied = []
  for (const file of await listMigrations()) {
    if (await applyMigration(sql, file)) applied.push(file)
  }
  if (seed) await sql.run(await readSql('seed.sql'))
  return applied
}

async function applyMigration (sql: SqlRunner, file: string): Promise<boolean> {
  const [, version, name] = /^(\d+)_(.+)\.sql$/.exec(file)!
  const known = await sql.query('select from supabase_migrations.schema_migrations where version = $1', [version])
  if (known.length > 0) return false
  // A script without an explicit transaction runs in a single implicit one, so the record is part of it.
  await sql.run(`${await readSql(`migrations/${file}`)}
    ;insert into supabase_migrations.schema_migrations (version, name) values ('${version}', '${name}');`)
  return true
}

export async function listMigrations (): Promise<string[]> {
  const files = await readdir(new URL('migrations/', FOLDER))
  return files.filter(file => file.endsWith('.sql')).sort()
}

function readSql (file: string): Promise<string> {
  return readFile(new URL(file, FOLDER), 'utf8')
}
