import { parseArgs } from 'node:util'
import pg from 'pg'
import { migrate } from '../database/migrations.js'
import { runCommand } from './command.js'

/** Applies supabase/migrations to a PostgreSQL database: `npm run migrate -- --url <postgres url> [--seed]`. */
await runCommand(async () => {
  const { values } = parseArgs({ options: { url: { type: 'string' }, seed: { type: 'boolean', default: false } } })
  if (!values.url) throw new Error('usage: npm run migrate -- --url postgres://user:password@host:5432/database [--seed]')
  const client = new pg.Client({ connectionString: values.url, connectionTimeoutMillis: 10_000 })
  await client.connect()
  try {
    const applied = await migrate({
      async run (sql) { await client.query(sql) },
      async query (sql, parameters) { return (await client.query(sql, parameters)).rows }
    }, { seed: values.seed })
    process.stdout.write(applied.length > 0 ? `applied ${applied.join(', ')}\n` : 'nothing to apply: the database is up to date\n')
  } finally {
    await client.end()
  }
})
