import { migratePostgres } from '../database/postgres.js'
import { runCommand } from '../lib/command.js'

await runCommand({
  name: 'npm run migrate',
  does: 'applies supabase/migrations to a PostgreSQL database.',
  options: {
    url: { type: 'string', value: '<postgres url>', does: 'the database; has to be given' },
    seed: { type: 'boolean', default: false, does: 'also applies supabase/seed.sql' }
  }
}, async values => {
  if (!values.url) throw new Error('usage: npm run migrate -- --url postgres://user:password@host:5432/database [--seed]')
  const applied = await migratePostgres(values.url, { seed: values.seed })
  process.stdout.write(applied.length > 0 ? `applied ${applied.join(', ')}\n` : 'nothing to apply: the database is up to date\n')
})
