import t from 'tap'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { createDataDir, createPostgres, findPostgres } from '../support/helper.js'
import { type ChaosReport, runChaos } from './chaos.js'
import { embeddedLedger, postgresLedger } from './ledger.js'

// A short version of `npm run chaos`, with real processes.
const SHORT = { clients: 8, pause: 1500, seed: 11 }

const NOTHING_WRONG: Partial<ChaosReport> = { lost: 0, doubled: 0, stuck: 0, miscounted: 0, complaints: 0, problems: [] }

t.test('on the embedded database, every run ends once and is read completely in spite of faults', async t => {
  const dataDir = await createDataDir(t)
  const ledger = await embeddedLedger(dataDir, 100_000)
  const report = await runChaos({ ...SHORT, blows: 3, replicas: 1, variables: { DATA_DIR: dataDir }, ledger })
  t.match(report, NOTHING_WRONG)
  t.ok(report.runs > 0 && report.disconnects > 0, `${report.runs} runs, ${report.disconnects} broken connections`)
})

t.test('the same with two processes beside a real PostgreSQL', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const ledger = await postgresLedger(url, 100_000)
  const report = await runChaos({ ...SHORT, blows: 7, replicas: 2, variables: { SUPABASE_DB_URL: url }, ledger })
  t.match(report, NOTHING_WRONG)
  t.ok(report.runs > 0 && report.disconnects > 0, `${report.runs} runs, ${report.disconnects} broken connections`)
})

t.test('the same with three processes, a real PostgreSQL and a real Redis that restarts', async t => {
  if (!await findPostgres(t) || !await findRedis(t)) return
  const url = await createPostgres(t)
  const redis = await startRedis(t)
  const ledger = await postgresLedger(url, 100_000)
  const variables = { SUPABASE_DB_URL: url, REDIS_URL: redis.url, MAX_CONCURRENT_RUNS: '4', MAX_RUNS_PER_USER: '7' }
  const report = await runChaos({ ...SHORT, blows: 9, lasting: 3000, replicas: 3, redis, variables, ledger, seed: 253 })
  t.match(report, NOTHING_WRONG)
  t.ok(report.runs > 0 && report.disconnects > 0, `${report.runs} runs, ${report.disconnects} broken connections`)
  t.ok(report.blows.restartRedis, 'Redis was restarted')
})
