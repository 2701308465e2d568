import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { readOptions } from '../../src/lib/command.js'
import { openEmbedded } from '../../src/database/embedded.js'
import { migratePostgres } from '../../src/database/postgres.js'
import { createCluster } from '../support/doubles/postgres-cluster.js'
import { startRedis } from '../support/doubles/redis-server.js'
import { BLOWS } from './blows.js'
import { FACES } from './faces/faces.js'
import { startFaces } from './faces/process.js'
import { type ChaosOptions, type ChaosReport, runChaos } from './chaos.js'
import { embeddedLedger, postgresLedger } from './ledger.js'

const DEFAULT_URL = 'postgres://postgres@127.0.0.1:5432/postgres'
const CREDITS = 1_000_000

const values = readOptions({
  name: 'npm run chaos',
  does: 'hits the service and what it stands on under load, and counts what went wrong.',
  options: {
    database: { type: 'string', default: 'embedded', value: 'embedded|postgres', does: 'one process on PGlite, or two beside PostgreSQL' },
    replicas: { type: 'string', value: '<n>', does: 'so many processes beside PostgreSQL and a Redis of their own, which is hit as well' },
    tiers: { type: 'boolean', default: false, does: 'of these half begin runs and make none, the others are workers' },
    url: {
      type: 'string',
      value: '<postgres url>',
      does: `a server on which a database may be made (default: ${DEFAULT_URL}); without it --replicas makes a server of its own, which is hit as well`
    },
    blows: { type: 'string', default: '100', value: '<n>', does: 'how many' },
    pause: { type: 'string', default: '2500', value: '<ms>', does: 'between two, at the most' },
    quiet: { type: 'string', default: '10000', value: '<ms>', does: 'before the first, in which it is measured how live readers are' },
    clients: { type: 'string', default: '20', value: '<n>', does: 'that start and read runs all the time' },
    faces: { type: 'string', value: '<face;…>', does: `by the official clients of these half of the clients ask; empty: by none (default: ${Object.keys(FACES).join(';')})` },
    only: { type: 'string', value: '<blow,…>', does: `nothing but these: ${Object.keys(BLOWS).join(', ')}` },
    logs: { type: 'string', value: '<directory>', does: "where the processes' logs are kept" },
    seed: { type: 'string', value: '<n>', does: 'repeats a choice of blows (default: the clock)' }
  }
})
const seed = Number(values.seed ?? Date.now() % 1_000_000)

say(`seed ${seed}`)
if (values.logs) await mkdir(values.logs, { recursive: true })
const tasks: Array<() => unknown> = []
const test = { teardown (task: () => unknown) { tasks.unshift(task) }, comment: say }
const names = (values.faces?.split(';') ?? Object.keys(FACES)).filter(Boolean)
const faces = names.length > 0 ? await startFaces(test, names) : undefined
const report = await (values.replicas ? onServices() : values.database === 'postgres' ? onPostgres() : onEmbedded())
for (const task of tasks) await task()
for (const problem of report.problems.slice(0, 20)) say(problem)
say(JSON.stringify({ ...report, problems: report.problems.length }, null, 2))
process.exitCode = report.lost + report.doubled + report.stuck + report.miscounted + report.complaints === 0 ? 0 : 1

function options () {
  const { blows, clients, pause, quiet } = values
  return { blows: Number(blows), clients: Number(clients), pause: Number(pause), quiet: Number(quiet), seed, faces, only: values.only?.split(','), logs: values.logs, say }
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

/** Runs on a Redis and a PostgreSQL started for this; the latter is an existing one if `--url` names it, or none can be started. */
async function onServices (): Promise<ChaosReport> {
  const tasks: Array<() => unknown> = []
  const test = { teardown (task: () => unknown) { tasks.unshift(task) }, comment: say }
  try {
    const redis = await startRedis(test)
    const postgres = values.url ? undefined : await createCluster(test)
    if (!postgres) say('LEFT OUT: PostgreSQL is not hit, because this program did not start it')
    return await onServer(values.url ?? postgres?.url() ?? DEFAULT_URL, {
      replicas: Number(values.replicas), tiers: values.tiers, redis, postgres
    }, { ...tightLimits(), REDIS_URL: redis.url })
  } finally {
    for (const task of tasks) await task()
  }
}

/** Few enough slots that runs must wait, and a limit that their user reaches. */
function tightLimits (): Record<string, string> {
  const [clients, replicas] = [Number(values.clients), Number(values.replicas)]
  return { MAX_CONCURRENT_RUNS: String(Math.ceil(0.6 * clients / replicas)), MAX_RUNS_PER_USER: String(Math.ceil(0.5 * clients)) }
}

/** Runs on a new database, which is kept if there are problems. */
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
