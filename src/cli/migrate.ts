import { isProduction, loadDatabaseUrl } from '../config/config.js'
import { problemOfDatabaseUrl } from '../config/connection-urls.js'
import { isHostedBySupabase } from '../database/connection-url.js'
import { layMigrations } from '../database/migrations/lay.js'
import { printMigrations } from '../database/migrations/script.js'
import { migratePostgres } from '../database/postgres.js'
import { runCommand } from '../lib/command.js'

const DEMO = '--seed adds an admin and an API key that everybody knows to a database of production: add --yes-demo if you mean it'
const FORM = 'postgres://user:password@host:5432/database'

await runCommand({
  name: 'npm run migrate',
  does: 'applies supabase/migrations to a PostgreSQL database, or writes them for others to apply.',
  options: {
    url: { type: 'string', value: '<postgres url>', does: 'applies them to this database; by default to SUPABASE_DB_URL. A password may be in PGPASSWORD instead' },
    seed: { type: 'boolean', default: false, does: 'also applies supabase/seed.sql: demo users, one of them an admin, agents, and an API key that everybody knows' },
    'yes-demo': { type: 'boolean', default: false, does: 'with --seed, on a database of production: one of Supabase, or with NODE_ENV=production' },
    print: { type: 'boolean', default: false, does: 'prints one script for an SQL editor, which may be executed again' },
    into: { type: 'string', value: '<folder>', does: 'writes them into another project\'s supabase/migrations, for supabase db push' }
  }
}, async ({ url, seed, 'yes-demo': isSure, print, into }) => {
  if ([url !== undefined || seed, print, into !== undefined].filter(Boolean).length > 1) {
    throw new Error('one of --url (with or without --seed), --print and --into at a time')
  }
  if (print) process.stdout.write(await printMigrations())
  else if (into !== undefined) await lay(into)
  else await apply(url, seed, isSure)
})

async function apply (given: string | undefined, seed: boolean, isSure: boolean): Promise<void> {
  const { url, ca } = given === undefined ? loadDatabaseUrl() : { url: given }
  const name = given === undefined ? 'SUPABASE_DB_URL' : '--url'
  if (!url) throw new Error(`which database? npm run migrate -- --url ${FORM}, or set SUPABASE_DB_URL`)
  if (!/^postgres(ql)?:\/\//.test(url)) throw new Error(`${name} takes ${FORM}`)
  if (!URL.canParse(url)) throw new Error(`${name} is no URL: in a password, characters such as @ / # ? % are written as %40 %2F %23 %3F %25, or put it in PGPASSWORD`)
  const problem = problemOfDatabaseUrl(name, url)
  if (problem) throw new Error(problem)
  if (seed && !isSure && (isProduction() || isHostedBySupabase(url))) throw new Error(DEMO)
  const applied = await migratePostgres(url, { seed, ca, onNotice: message => { process.stderr.write(`notice: ${message}\n`) } })
  process.stdout.write(applied.length > 0 ? `applied ${applied.join(', ')}\n` : 'nothing to apply: the database is up to date\n')
}

async function lay (folder: string): Promise<void> {
  const { written, known } = await layMigrations(folder)
  if (written.length === 0) {
    process.stdout.write(`nothing to write: ${folder} has all ${known} migrations\n`)
    return
  }
  process.stdout.write([
    ...written.map(name => `wrote ${name}`),
    ...(known > 0 ? [`${known} were there`] : []),
    'next, in that project: supabase link (once), then supabase db push --remote; before version 3 of the Supabase CLI, supabase db push',
    ''
  ].join('\n'))
}
