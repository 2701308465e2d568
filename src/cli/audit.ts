import { parseArgs } from 'node:util'
import type { DatabaseConfig } from '../config/backing-services.js'
import { loadConfig } from '../config/config.js'
import type { Audit } from '../contract/schemas.js'
import { openDatabase } from '../database/open.js'
import type { Database } from '../database/port.js'
import { examine } from '../database/schema-version.js'
import { runCommand } from './command.js'

const MAX_LINES = 1000

/**
 * Compares balances, ledger and runs: `npm run audit [-- --url <postgres url>] [--json] [--accept "<reason>"]`.
 * Ends with 1 where they do not add up.
 */
await runCommand(async () => {
  const { values } = parseArgs({
    options: { url: { type: 'string' }, accept: { type: 'string' }, json: { type: 'boolean', default: false } }
  })
  const { database } = await openDatabase(values.url ? byUrl(values.url) : loadConfig().database)
  try {
    const { state, why } = await examine(database)
    if (state !== 'up' && state !== 'read-only') throw new Error(why)
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
  return { kind: 'postgres', url, maxConnections: 1 }
}

/** What was changed past the ledger is entered in it, with a reason. */
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
