import { readdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runCommand } from '../src/lib/command.js'

const SUPABASE = new URL('../supabase/', import.meta.url)
export const BASELINE = new URL('migrations/20261129000000_baseline.sql', SUPABASE)

/** Tables that a live project has made itself; the name of each file is the name of what it creates. */
const PLATFORM = /^schemas\/platform\/(\w+)\.sql$/

/** What makes a statement repeatable. Statements begin at the start of a line; bodies of functions are indented. */
const REPEATABLE: Array<[pattern: RegExp, replacement: string]> = [
  [/^create table /gm, 'create table if not exists '],
  [/^create (unique )?index /gm, 'create $1index if not exists '],
  [/^create function /gm, 'create or replace function '],
  [/^create trigger /gm, 'create or replace trigger '],
  [/^create policy (\w+) on (\S+)/gm, 'drop policy if exists $1 on $2;\n$&'],
  [/^ {2}add column (?!if not exists)/gm, '  add column if not exists ']
]

const HEADER = `-- Generated from supabase/schemas by \`npm run schema\`; edit those files instead of this one.
--
-- Defines what the service needs in an empty Supabase database, or beside a live project. Tables, columns and indexes that
-- exist stay as they are; functions, triggers, policies and grants of the service are replaced. It may be applied again.
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

/** The baseline migration: all definitions, made repeatable. */
export async function buildBaseline (): Promise<string> {
  const parts = [HEADER]
  for (const file of await listSchemas()) parts.push(`-- ${file}\n\n${makeRepeatable(file, await readSql(file))}`)
  parts.push('-- PostgREST learns of what is new.\nnotify pgrst, \'reload schema\';\n')
  return parts.join('\n')
}

function makeRepeatable (file: string, sql: string): string {
  const [, name] = PLATFORM.exec(file) ?? []
  if (name) {
    const body = sql.trimEnd().replace(/^(?=.)/gm, '    ')
    return `do $platform$\nbegin\n  if to_regtype('public.${name}') is null then\n${body}\n  end if;\nend $platform$;\n`
  }
  return REPEATABLE.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), sql)
}

/** `*` stands for any part of one name, as in the Supabase CLI. */
function toPattern (glob: string): RegExp {
  return new RegExp(`^${glob.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}$`)
}

function readSql (file: string): Promise<string> {
  return readFile(new URL(file, SUPABASE), 'utf8')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runCommand({ name: 'npm run schema', does: 'makes the baseline migration out of supabase/schemas.', options: {} }, async () => {
    await writeFile(BASELINE, await buildBaseline())
  })
}
