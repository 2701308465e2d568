import { readMigrations, readSql } from './migrations/files.js'
import { noteScript } from './migrations/notes.js'
import { applyScript } from './migrations/script.js'

export { listMigrations } from './migrations/files.js'

/** Runs SQL: several statements without values, or one statement with values. */
export interface SqlRunner {
  run (sql: string): Promise<void>
  query (sql: string, values: unknown[]): Promise<Array<Record<string, unknown>>>
}

export interface MigrateOptions {
  /** Adds the demo rows. */
  seed?: boolean
}

/** A migration was refused by the database; those before it stay applied. Its cause is the database's error. */
class MigrationError extends Error {
  constructor (file: string, applied: string[], cause: Error) {
    const before = applied.length > 0 ? ` (${applied.join(', ')} ${applied.length > 1 ? 'were' : 'was'})` : ''
    super(`${file} was not applied${before}: ${cause.message}`, { cause })
  }
}

/**
 * Applies the migrations that a database lacks, each in a transaction of its own, and notes them in `jeesi.migrations`.
 * What was applied in another way is known: see `noteScript`.
 * @returns the file names of the migrations that were applied.
 * @throws {MigrationError} if a migration is refused.
 */
export async function migrate (sql: SqlRunner, { seed = false }: MigrateOptions = {}): Promise<string[]> {
  const migrations = await readMigrations()
  await sql.run(await readSql('platform.sql'))
  await sql.run(noteScript(migrations, { takesBack: true }))
  const noted = new Set((await sql.query('select version from jeesi.migrations', [])).map(({ version }) => version))
  const applied: string[] = []
  for (const migration of migrations.filter(({ version }) => !noted.has(version))) {
    try {
      await sql.run(applyScript([migration]))
    } catch (error) {
      throw new MigrationError(migration.file, applied, error as Error)
    }
    applied.push(migration.file)
  }
  if (seed) await sql.run(await readSql('seed.sql'))
  return applied
}
