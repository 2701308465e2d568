import t, { type Test } from 'tap'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { createDataDir, createPostgres, findPostgres } from '../support/helper.js'
import { IS_WHOLE } from '../support/scope.js'
import { type ChaosReport, runChaos } from './chaos.js'
import { startFaces } from './faces/process.js'
import { embeddedLedger, postgresLedger } from './ledger.js'

// A short version of `npm run chaos`, with real processes.
const SHORT = { clients: 12, pause: 1500, seed: 11 }

const NOTHING_WRONG: Partial<ChaosReport> = { lost: 0, doubled: 0, stuck: 0, miscounted: 0, complaints: 0, problems: [] }

const faces = await startFaces(t)

/** How often each face's client has ended with the right text, in all tests. */
const right = new Map<string, number>()

/** Every face's official client has asked, and each has ended with the right text or an error that says what has failed. */
function checkFaces (t: Test, report: ChaosReport): void {
  t.comment(JSON.stringify({ faces: report.faces, errors: report.errors, problems: report.problems }))
  for (const face of faces.faces) {
    const counts = report.faces[face]
    t.match(counts, { wrong: 0, neverEnded: 0 }, face)
    right.set(face, (right.get(face) ?? 0) + (counts?.right ?? 0))
  }
}

t.test('on the embedded database, every run ends once and is read completely in spite of faults', async t => {
  const dataDir = await createDataDir(t)
  const ledger = await embeddedLedger(dataDir, 100_000)
  const report = await runChaos({ ...SHORT, blows: 3, replicas: 1, variables: { DATA_DIR: dataDir }, ledger, faces })
  t.match(report, NOTHING_WRONG)
  t.ok(report.runs > 0 && report.disconnects > 0, `${report.runs} runs, ${report.disconnects} broken connections`)
  checkFaces(t, report)
})

if (IS_WHOLE) {
  t.test('the same with two processes beside a real PostgreSQL', async t => {
    if (!await findPostgres(t)) return
    const url = await createPostgres(t)
    const ledger = await postgresLedger(url, 100_000)
    const report = await runChaos({ ...SHORT, blows: 7, replicas: 2, variables: { SUPABASE_DB_URL: url }, ledger, faces })
    t.match(report, NOTHING_WRONG)
    t.ok(report.runs > 0 && report.disconnects > 0, `${report.runs} runs, ${report.disconnects} broken connections`)
    checkFaces(t, report)
  })
}

t.test('the same with three processes, a real PostgreSQL and a real Redis that restarts', async t => {
  if (!await findPostgres(t) || !await findRedis(t)) return
  const url = await createPostgres(t)
  const redis = await startRedis(t)
  const ledger = await postgresLedger(url, 100_000)
  const variables = { SUPABASE_DB_URL: url, REDIS_URL: redis.url, MAX_CONCURRENT_RUNS: '4', MAX_RUNS_PER_USER: '7' }
  const report = await runChaos({ ...SHORT, blows: 9, lasting: 3000, replicas: 3, redis, variables, ledger, faces, seed: 253 })
  t.match(report, NOTHING_WRONG)
  t.ok(report.runs > 0 && report.disconnects > 0, `${report.runs} runs, ${report.disconnects} broken connections`)
  checkFaces(t, report)
  t.ok(report.blows.restartRedis, 'Redis was restarted')
})

t.test('the official clients were told the right text: each a few times, or in the short run, which asks by each but twice or so, most', async t => {
  if (!await findPostgres(t)) return
  const least = IS_WHOLE ? 2 : 1
  const told = [...right].filter(([, count]) => count >= least).map(([face]) => face)
  t.ok(told.length >= (IS_WHOLE ? right.size : right.size / 2), JSON.stringify([...right]))
})
