import { parseArgs } from 'node:util'
import { migratePostgres } from '../database/postgres.js'
import { runCommand } from './command.js'

/** Applies supabase/migrations to a PostgreSQL database: `npm run migrate -- --url <postgres url> [--seed]`. */
await runCommand(async () => {
  const { values } = parseArgs({ options: { url: { type: 'string' }, seed: { type: 'boolean', default: false } } })
  if (!values.url) throw new Error('usage: npm run migrate -- --url postgres://user:password@host:5432/database [--seed]')
  const applied = await migratePostgres(values.url, { seed: values.seed })
  process.stdout.write(applied.length > 0 ? `applied ${applied.join(', ')}\n` : 'nothing to apply: the database is up to date\n')
})
