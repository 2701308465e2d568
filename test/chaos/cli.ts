import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { openEmbedded } from '../../src/database/embedded.js'
import { migratePostgres } from '../../src/database/postgres.js'
import { createCluster } from '../support/doubles/postgres-cluster.js'
import { startRedis } from '../support/doubles/redis-server.js'
import { BLOWS } from './blows.js'
import { type ChaosOptions, type ChaosReport, runChaos } from './chaos.js'
import { embeddedLedger, postgresLedger } from './ledger.js'

const DEFAULT_URL = 'postgres://postgres@127.0.0.1:5432/postgres'
const CREDITS = 1_000_000

const { values } = parseArgs({
  options: {
    database: { type: 'string', default: 'embedded' },
    replicas: { type: 'string' },
    tiers: { type: 'boolean', default: false },
    url: { type: 'string' },
    blows: { type: 'string', default: '100' },
    clients: { type: 'string', default: '20' },
    pause: { type: 'string', default: '2500' },
    quiet: { type: 'string', default: '10000' },
    only: { type: 'string' },
    logs: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    help: { type: 'boolean', default: false }
  }
})

if (values.help) {
  say(`npm run chaos -- [options]: hits the service and what it stands on under load, and counts what went wrong.
  --database embedded|postgres   one process on PGlite, or two beside PostgreSQL (embedded)
  --replicas <n>                 so many processes beside PostgreSQL and a Redis of their own, which is hit as well
  --tiers                        of these half begin runs and make none, the others are workers
  --url <postgres url>           a server on which a database may be made (${DEFAULT_URL});
                                 without it --replicas makes a server of its own, which is hit as well
  --blows <n>                    how many (100)
  --pause <ms>                   between two, at the most (2500)
  --quiet <ms>                   before the first, in which it is measured how live readers are (10000)
  --clients <n>                  that start and read runs all the time (20)
  --only <blow,…>                nothing but these: ${Object.keys(BLOWS).join(', ')}
  --logs <directory>             where the processes' logs are kept
  --seed <n>                     repeats a choice of blows (the clock)`)
} else {
  say(`seed ${values.seed}`)
  if (values.logs) await mkdir(values.logs, { recursive: true })
  const report = await (values.replicas ? onServices() : values.database === 'postgres' ? onPostgres() : onEmbedded())
  for (const problem of report.problems.slice(0, 20)) say(problem)
  say(JSON.stringify({ ...report, problems: report.problems.length }, null, 2))
  process.exitCode = report.lost + report.doubled + report.stuck + report.miscounted + report.complaints === 0 ? 0 : 1
}

function options () {
  const { blows, clients, pause, quiet, seed } = values
  return { blows: Number(blows), clients: Number(clients), pause: Number(pause), quiet: Number(quiet), seed: Number(seed), only: values.only?.split(','), logs: values.logs, say }
}

async function onEmbedded (): Promise<ChaosReport> {
  const dataDir = await mkdtemp(join(tmpdir(), 'jeesi-chaos-'))
  await (await openEmbedded(dataDir)).close()
  const ledger = await embeddedLedger(dataDir, CREDITS)
  const report = await runChaos({ ...options(), replicas: 1, variables: { DATA_DIR: dataDir }, ledger })
  if (report.problems.length > 0) {
    await cp(dataDir, `${dataDir}-kept`, { recursive: true })
    say(`the database is kept in ${dataDir}-kept`)
  }
  await rm(dataDir, { recursive: true })
  return report
}

function onPostgres (): Promise<ChaosReport> {
  return onServer(values.url ?? DEFAULT_URL, { replicas: 2 })
}

/** Beside servers of the chaos's own, but for a PostgreSQL that was named or cannot be made. */
async function onServices (): Promise<ChaosReport> {
  const tasks: Array<() => unknown> = []
  const test = { teardown (task: () => unknown) { tasks.unshift(task) }, comment: say }
  try {
    const redis = await startRedis(test)
    const postgres = values.url ? undefined : await createCluster(test)
    if (!postgres) say('LEFT OUT: PostgreSQL is not hit, for it is not a server of our own')
    return await onServer(values.url ?? postgres?.url() ?? DEFAULT_URL, {
      replicas: Number(values.replicas), tiers: values.tiers, redis, postgres
    }, { ...narrow(), REDIS_URL: redis.url })
  } finally {
    for (const task of tasks) await task()
  }
}

/** So few slots that runs have to wait, and a limit that their user meets. */
function narrow (): Record<string, string> {
  const [clients, replicas] = [Number(values.clients), Number(values.replicas)]
  return { MAX_CONCURRENT_RUNS: String(Math.ceil(0.6 * clients / replicas)), MAX_RUNS_PER_USER: String(Math.ceil(0.5 * clients)) }
}

/** On a database that is made for it. */
async function onServer (server: string, shape: Pick<ChaosOptions, 'replicas' | 'tiers' | 'redis' | 'postgres'>, variables: Record<string, string> = {}) {
  const name = `jeesi_chaos_${process.pid}`
  await query(server, `create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  await migratePostgres(url.href, { seed: true })
  const ledger = await postgresLedger(url.href, CREDITS)
  const report = await runChaos({ ...options(), ...shape, variables: { SUPABASE_DB_URL: url.href, ...variables }, ledger })
  if (report.problems.length > 0 && !shape.postgres) say(`the database is kept as ${name}`)
  else await query(server, `drop database ${name} with (force)`)
  return report
}

async function query (url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(sql)
  await client.end()
}

function say (line: string): void {
  process.stdout.write(`${line}\n`)
}
