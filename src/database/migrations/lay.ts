import { readdir, readFile, realpath, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { FOLDER, type Migration, readMigrations } from './files.js'
import { noteScript } from './notes.js'
import { applyScript } from './script.js'

/** The first line of a file that was laid, by which it is known again. */
const MARK = /^-- jeesi-railway-backend (\d+)_/
const LENGTH_OF_TIME = 14

export interface Laid {
  /** The names of the files that were written. */
  written: string[]
  /** How many of our migrations the folder had. */
  known: number
}

/**
 * Writes the migrations into another project's folder of migrations, later than the newest there and in their order.
 * Each notes itself, and does nothing to a database that has it. Those that the folder has already are left out.
 * @param now the time of which the first file is, unless the newest there is later.
 * @throws {Error} a sentence, if it is no such folder, or cannot be read or written.
 */
export async function layMigrations (folder: string, now = new Date()): Promise<Laid> {
  const names = await listFolder(folder)
  const texts = await Promise.all(names.map(name => readFile(join(folder, name), 'utf8')))
  const migrations = await readMigrations()
  const missing = migrations.filter(migration => !names.some((name, index) => isOf(migration, name, texts[index]!)))
  const newest = names.at(-1)?.split('_')[0]
  let version = timeOf(now)
  // As file names, in whose order the CLI applies them: a shorter version comes after those that begin like it.
  if (newest && `${newest}_` >= `${version}_`) version = nextOf(newest)
  const written: string[] = []
  for (const migration of missing) {
    const name = `${version}_jeesi_${migration.name}.sql`
    await writeFile(join(folder, name), textOf(migration, migrations), { flag: 'wx' }).catch(error => { throw explain(folder, error) })
    written.push(name)
    version = nextOf(version)
  }
  return { written, known: migrations.length - missing.length }
}

/** The names of the files that the Supabase CLI takes for migrations. */
async function listFolder (folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(error => { throw explain(folder, error) })
  if (await realpath(folder) === await realpath(FOLDER)) throw new Error(`${folder} is this service's own: --into takes the platform's supabase/migrations`)
  const found = names.filter(name => /^\d+_.*\.sql$/.test(name)).sort()
  if (found.length === 0 && basename(resolve(folder)) !== 'migrations') {
    throw new Error(`${folder} is no folder of migrations: --into takes the platform's supabase/migrations`)
  }
  return found
}

/** Whether a file is one that was laid, or a copy of ours, which the project's history then knows by our version. */
function isOf ({ file, version, sql }: Migration, name: string, text: string): boolean {
  return MARK.exec(text)?.[1] === version || name === file || text.trim() === sql.trim()
}

function textOf (migration: Migration, all: Migration[]): string {
  return `-- jeesi-railway-backend ${migration.version}_${migration.name}; written by npm run migrate -- --into.
--
-- Does nothing to a database that has this migration, however it was applied. Leave it as it is, above all the line above.

${applyScript([migration], [noteScript(all, { takesBack: false })])}`
}

/** As the Supabase CLI names migrations: YYYYMMDDhhmmss. */
function timeOf (date: Date): string {
  return date.toISOString().replace(/\D/g, '').slice(0, LENGTH_OF_TIME)
}

/** A second later; one more, if the version is no time. */
function nextOf (version: string): string {
  const time = new Date(version.replace(/^(....)(..)(..)(..)(..)(..)$/, '$1-$2-$3T$4:$5:$6Z'))
  if (version.length === LENGTH_OF_TIME && !Number.isNaN(time.getTime())) return timeOf(new Date(time.getTime() + 1000))
  return String(BigInt(version) + 1n).padStart(version.length, '0')
}

function explain (folder: string, { code, message }: NodeJS.ErrnoException): Error {
  const reasons: Record<string, string> = {
    ENOENT: 'is not there',
    ENOTDIR: 'is no folder',
    EACCES: 'may not be read or written by this user',
    EPERM: 'may not be read or written by this user',
    EROFS: 'can only be read'
  }
  return new Error(`${folder} ${reasons[code ?? ''] ?? `cannot be used: ${message}`}`)
}
