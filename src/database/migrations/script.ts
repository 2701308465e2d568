import { type Migration, readMigrations, readSql } from './files.js'
import { noteScript } from './notes.js'

/**
 * One statement, and so one transaction in whatever executes it: applies the migrations that the database has no note
 * of, and notes them.
 * @param before SQL that is executed first.
 */
export function applyScript (migrations: Migration[], before: string[] = []): string {
  const steps = [...before.map(sql => `execute ${quote(sql)};\n`), ...migrations.map(step)]
  return `do ${quote(`begin\n${steps.join('')}end `)};\n`
}

/** The script for an SQL editor: all that `npm run migrate` does. It may be executed again. */
export async function printMigrations (): Promise<string> {
  const migrations = await readMigrations()
  return `${HEADER}${applyScript(migrations, [await readSql('platform.sql'), noteScript(migrations, { takesBack: true })])}
-- What the database has now.
select version, name, applied_at from jeesi.migrations order by version;
`
}

const HEADER = `-- The migrations of jeesi-railway-backend for an SQL editor; written by npm run migrate -- --print.
--
-- Execute all of it at once, as the role that owns the tables (on Supabase: postgres). It is one statement: either all of
-- it is applied or nothing. Migrations that the database has are passed over, so it may be executed again.

`

function step ({ version, name, sql }: Migration): string {
  return `
-- ${version}_${name}
lock table jeesi.migrations in share row exclusive mode;
if not exists (select from jeesi.migrations where version = '${version}') then
execute ${quote(sql)};
insert into jeesi.migrations (version, name) values ('${version}', '${name}');
end if;
`
}

/** A text in dollar quotes whose tag it does not contain. */
function quote (text: string): string {
  let tag = '$jeesi$'
  for (let number = 1; text.includes(tag); number++) tag = `$jeesi${number}$`
  return `${tag}\n${text}${tag}`
}
