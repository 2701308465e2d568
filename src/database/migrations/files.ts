import { readdir, readFile } from 'node:fs/promises'
import { ROOT } from '../../config/root.js'

const SUPABASE = new URL('supabase/', ROOT)

/** Where the migrations are. */
export const FOLDER = new URL('migrations/', SUPABASE)

/** A file of supabase/migrations. */
export interface Migration {
  /** Its name, `<version>_<name>.sql`. */
  readonly file: string
  readonly version: string
  readonly name: string
  readonly sql: string
}

/** The names of the migrations, in the order in which they apply. */
export async function listMigrations (): Promise<string[]> {
  const files = await readdir(FOLDER)
  return files.filter(file => file.endsWith('.sql')).sort()
}

/** All migrations, in the order in which they apply. */
export async function readMigrations (): Promise<Migration[]> {
  return Promise.all((await listMigrations()).map(async file => {
    const [, version, name] = /^(\d+)_(.+)\.sql$/.exec(file)!
    return { file, version: version!, name: name!, sql: await readSql(`migrations/${file}`) }
  }))
}

/** The text of a file in `supabase`. */
export function readSql (file: string): Promise<string> {
  return readFile(new URL(file, SUPABASE), 'utf8')
}
