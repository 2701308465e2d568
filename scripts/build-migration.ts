import { readdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../src/lib/command.js'

const SUPABASE = new URL('../supabase/', import.meta.url)

/** The migration of the next release that has all functions which the releases before it have otherwise or lack. */
export const FUNCTIONS = new URL('migrations/20261201000100_at_home_functions.sql', SUPABASE)

/** The version of the last migration of the last release. Those up to it never change. */
const RELEASED = '20261129000100'

/** What no later migration can say again: tables, which a migration alters, and what was missing in older projects. */
const ONCE = /^schemas\/(platform\/\w+|\w+\/tables|missing_columns)\.sql$/

/** What makes a statement repeatable. Statements begin at the start of a line; bodies of functions are indented. */
const REPEATABLE: Array<[pattern: RegExp, replacement: string]> = [
  [/^create function /gm, 'create or replace function '],
  [/^create trigger /gm, 'create or replace trigger ']
]

const HEADER = `-- Generated from supabase/schemas by \`npm run schema\`; edit those files instead of this one.
--
-- Defines the functions and triggers that are new in this release, or other than in the one before. It may be applied again.
`

/**
 * The files of supabase/schemas, relative to supabase/, in the order of `schema_paths` in supabase/config.toml.
 * @throws {Error} where a file is in none of them.
 */
export async function listSchemas (): Promise<string[]> {
  const config = await readSql('config.toml')
  const [, list = ''] = /^schema_paths = \[\n(.*?)^\]/ms.exec(config) ?? []
  const patterns = [...list.matchAll(/^ +"\.\/(.+)",$/gm)].map(([, glob]) => toPattern(glob!))
  const names = await readdir(new URL('schemas/', SUPABASE), { recursive: true })
  const files = names.filter(name => name.endsWith('.sql')).map(name => `schemas/${name}`).sort()
  const lost = files.filter(file => !patterns.some(pattern => pattern.test(file)))
  if (lost.length > 0) throw new Error(`no schema_paths in supabase/config.toml match ${lost.join(', ')}`)
  return [...new Set(patterns.flatMap(pattern => files.filter(file => pattern.test(file))))]
}

/** The migration of the functions that have changed since the last release, made repeatable. */
export async function buildFunctions (): Promise<string> {
  const released = await readReleased()
  const parts = [HEADER]
  for (const file of await listSchemas()) {
    if (ONCE.test(file)) continue
    const sql = REPEATABLE.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), await readSql(file))
    if (!released.includes(`-- ${file}\n\n${sql}`)) parts.push(`-- ${file}\n\n${sql}`)
  }
  parts.push('-- PostgREST learns of what is new.\nnotify pgrst, \'reload schema\';\n')
  return parts.join('\n')
}

/** The text of all migrations of the releases, each function under the name of its file. */
async function readReleased (): Promise<string> {
  const names = (await readdir(new URL('migrations/', SUPABASE))).filter(name => name.split('_')[0]! <= RELEASED).sort()
  return (await Promise.all(names.map(name => readSql(`migrations/${name}`)))).join('\n')
}

/** `*` stands for any part of one name, as in the Supabase CLI. */
function toPattern (glob: string): RegExp {
  return new RegExp(`^${glob.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`)
}

function readSql (file: string): Promise<string> {
  return readFile(new URL(file, SUPABASE), 'utf8')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runCommand({ name: 'npm run schema', does: 'makes the migration of the changed functions out of supabase/schemas.', options: {} }, async () => {
    await writeFile(FUNCTIONS, await buildFunctions())
  })
}
