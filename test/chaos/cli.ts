import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { openEmbedded } from '../../src/database/embedded.js'
import { migratePostgres } from '../../src/database/postgres.js'
import { runChaos, type ChaosOptions } from './chaos.js'
import { embeddedLedger, postgresLedger } from './ledger.js'

const { values } = parseArgs({
  options: {
    database: { type: 'string', default: 'embedded' },
    url: { type: 'string', default: 'postgres://postgres@127.0.0.1:5432/postgres' },
    blows: { type: 'string', default: '100' },
    clients: { type: 'string', default: '20' },
    pause: { type: 'string', default: '2500' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    help: { type: 'boolean', default: false }
  }
})

if (values.help) {
  say(`npm run chaos -- [options]: kills, freezes and terminates the service under load, and counts what went wrong.
  --database embedded|postgres   one process on PGlite, or two on a database of their own (embedded)
  --url <postgres url>           a server on which a database may be made (postgres://postgres@127.0.0.1:5432/postgres)
  --blows <n>                    how many (100)
  --pause <ms>                   between two, at the most (2500)
  --clients <n>                  that start and read runs all the time (20)
  --seed <n>                     repeats a choice of blows (the clock)`)
} else {
  say(`seed ${values.seed}`)
  const report = await (values.database === 'postgres' ? onPostgres() : onEmbedded())
  for (const problem of report.problems.slice(0, 20)) say(problem)
  say(JSON.stringify({ ...report, problems: report.problems.length }, null, 2))
  process.exitCode = report.lost + report.doubled + report.stuck + report.miscounted === 0 ? 0 : 1
}

function options (): Omit<ChaosOptions, 'ledger' | 'variables' | 'replicas'> {
  return { blows: Number(values.blows), clients: Number(values.clients), pause: Number(values.pause), seed: Number(values.seed), say }
}

async function onEmbedded () {
  const dataDir = await mkdtemp(join(tmpdir(), 'jeesi-chaos-'))
  await (await openEmbedded(dataDir)).close()
  const ledger = await embeddedLedger(dataDir, 1_000_000)
  const report = await runChaos({ ...options(), replicas: 1, variables: { DATA_DIR: dataDir }, ledger })
  if (report.problems.length > 0) {
    await cp(dataDir, `${dataDir}-kept`, { recursive: true })
    say(`the database is kept in ${dataDir}-kept`)
  }
  await rm(dataDir, { recursive: true })
  return report
}

async function onPostgres () {
  const admin = new pg.Client({ connectionString: values.url })
  await admin.connect()
  const name = `jeesi_chaos_${process.pid}`
  await admin.query(`create database ${name}`)
  const url = new URL(values.url)
  url.pathname = `/${name}`
  await migratePostgres(url.href, { seed: true })
  const ledger = await postgresLedger(url.href, 1_000_000)
  const report = await runChaos({ ...options(), replicas: 2, variables: { SUPABASE_DB_URL: url.href }, ledger })
  if (report.problems.length > 0) say(`the database is kept as ${name}`)
  else await admin.query(`drop database ${name} with (force)`)
  await admin.end()
  return report
}

function say (line: string): void {
  process.stdout.write(`${line}\n`)
}
