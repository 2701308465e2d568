import type { DatabaseConfig } from '../config/backing-services.js'
import { loadConfig } from '../config/config.js'
import { problemOfDatabaseUrl } from '../config/connection-urls.js'
import type { Audit } from '../contract/schemas.js'
import { openDatabase } from '../database/open.js'
import type { Database } from '../database/port.js'
import { checkSchema } from '../database/schema-version.js'
import { runCommand } from '../lib/command.js'

const MAX_LINES = 1000

await runCommand({
  name: 'npm run audit',
  does: 'compares balances, ledger and runs; ends with 1 if they do not add up.',
  options: {
    url: { type: 'string', value: '<postgres url>', does: 'the database; by default that of the service, by its variables' },
    json: { type: 'boolean', default: false, does: 'prints one JSON object' },
    accept: { type: 'string', value: '<reason>', does: 'first enters in the ledger what was changed before it noted such' }
  }
}, async values => {
  const { database } = await openDatabase(values.url ? byUrl(values.url) : loadConfig().database)
  try {
    const { status, reason } = await checkSchema(database)
    if (status !== 'up' && status !== 'read-only') throw new Error(reason)
    if (values.accept !== undefined) await accept(database, values.accept)
    const audit = await database.call('audit_credits', { p_limit: MAX_LINES })
    process.stdout.write(values.json ? `${JSON.stringify(audit)}\n` : describe(audit))
    if (audit.total > 0) process.exitCode = 1
  } finally {
    await database.close()
  }
})

function byUrl (url: string): DatabaseConfig {
  if (!/^postgres(ql)?:\/\//.test(url)) throw new Error('--url takes postgres://user:password@host:5432/database')
  const problem = problemOfDatabaseUrl('--url', url)
  if (problem) throw new Error(problem)
  return { kind: 'postgres', url, maxConnections: 1 }
}

/** Enters changes in the ledger that were made before it noted others' changes, with a reason. */
async function accept (database: Database, reason: string): Promise<void> {
  const { adjusted } = await database.call('adjust_ledger', { p_reason: reason })
  process.stderr.write(`entered in the ledger: ${adjusted} adjustments\n`)
}

function describe ({ checked: { balances, entries, runs }, problems, total }: Audit): string {
  const lines = problems.map(({ kind, userId, runId, expected, found, message }) => [
    `${kind}:`,
    userId && `user ${userId}`,
    runId && `run ${runId}`,
    found !== null && `is ${found}, should be ${expected ?? 'unknown'}.`,
    message
  ].filter(Boolean).join(' '))
  if (total > problems.length) lines.push(`… and ${total - problems.length} more`)
  const verdict = total === 0 ? 'it all adds up' : `${total} ${total === 1 ? 'does' : 'do'} not add up`
  return [...lines, `${balances} balances, ${entries} ledger entries, ${runs} runs: ${verdict}`, ''].join('\n')
}
