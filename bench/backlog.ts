import { setTimeout as delay } from 'node:timers/promises'
import { Queue } from 'bullmq'
import pg from 'pg'
import { AGENT } from './database.js'
import type { Lab } from './lab.js'
import { promptOf, startGateway } from './native.js'
import { cpuMs } from './proc.js'
import { startRedis } from './scaled/redis.js'
import { startOurs } from './subjects/ours.js'
import type { Server } from './subjects/subject.js'
import { renderColumns, short } from './table.js'

const WORKERS = 4
/** Together the workers have a slot for each run, so that only taking them takes time. */
const RUNS = 4_000
const QUICK_RUNS = 1_000
/** Milliseconds until the stand-in answers: longer than it takes to take all runs. */
const ANSWER_MS = 45_000
const ADDERS = 16
const POLL_MS = 50
const TAKE_TIMEOUT_MS = 120_000

const WAITING = 'select count(*)::int as count from public.agent_runs where owner is null and finished_at is null'
/** Without the slowest and the fastest twentieth of the time: the workers do not begin at the same moment. */
const TIMES = `select extract(epoch from percentile_disc(0.95) within group (order by started_at) - percentile_disc(0.05) within group (order by started_at))::float as seconds
  from public.agent_runs`

/** Measures how fast workers take runs that wait in the queue: from Redis, from the database, until their models are asked. */
export async function measureBacklog (lab: Lab): Promise<string> {
  const database = await lab.databases.create()
  const redis = await startRedis(lab)
  const gateway = await startGateway(lab.directory, lab.cores?.bench)
  const sql = new pg.Client({ connectionString: database.url })
  const queue = new Queue('runs', { connection: { url: redis.url }, prefix: 'jeesi' })
  const servers: Server[] = []
  const runs = lab.quick ? QUICK_RUNS : RUNS
  const start = async (slots: number) => {
    const variables = { REDIS_URL: redis.url, MAX_CONCURRENT_RUNS: String(slots), MAX_QUEUED_RUNS: String(2 * runs) }
    servers.push(await startOurs(lab, { upstream: gateway.url, databaseUrl: database.url, variables, bound: false }))
  }
  try {
    await sql.connect()
    await start(0)
    for (let count = 0; count < WORKERS; count++) await start(runs)
    await queue.pause()
    lab.log(`${runs} runs are added …`)
    await addRuns(lab, servers[0]!, runs)
    const before = await spent(servers.slice(1), redis.program.pid, sql)
    await queue.resume()
    await untilTaken(sql)
    const after = await spent(servers.slice(1), redis.program.pid, sql)
    const { rows: [times] } = await sql.query<{ seconds: number }>(TIMES)
    const [ofWorkers, ofRedis, ofPostgres] = after.map((ms, index) => ms - before[index]!) as [number, number, number]
    return renderColumns([
      ['workers', 'runs a second', 'ms a run of the workers', 'of Redis', 'of PostgreSQL'],
      [String(WORKERS), short(0.9 * runs / times!.seconds), short(ofWorkers / runs), short(ofRedis / runs), short(ofPostgres / runs)]
    ])
  } finally {
    await queue.close()
    await sql.end()
    await Promise.all(servers.map(server => server.stop()))
    await gateway.program.stop('SIGKILL')
    await redis.program.stop()
    await database.drop()
  }
}

async function addRuns (lab: Lab, { port }: Server, runs: number): Promise<void> {
  const prompt = promptOf({ delayMs: 0, firstMs: ANSWER_MS, tokens: 1, burst: 1 })
  const body = JSON.stringify({ agentId: AGENT, messages: [{ role: 'user', content: prompt }], background: true })
  let added = 0
  await Promise.all(Array.from({ length: ADDERS }, async () => {
    while (added < runs) {
      const token = lab.databases.tokens[added++ % lab.databases.tokens.length]!
      const response = await fetch(`http://127.0.0.1:${port}/api/agent/execute`, {
        method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body
      })
      const text = await response.text()
      if (response.status !== 202) throw new Error(`a run could not be added: ${text}`)
    }
  }))
}

async function untilTaken (sql: pg.Client): Promise<void> {
  const until = Date.now() + TAKE_TIMEOUT_MS
  for (;;) {
    const { rows: [waiting] } = await sql.query<{ count: number }>(WAITING)
    if (waiting!.count === 0) return
    if (Date.now() > until) throw new Error(`${waiting!.count} runs were not taken in ${TAKE_TIMEOUT_MS / 1000} s`)
    await delay(POLL_MS)
  }
}

/** Processor time in milliseconds: of the workers, of Redis, of the database's sessions. */
async function spent (workers: Server[], redis: number, sql: pg.Client): Promise<number[]> {
  const { rows } = await sql.query<{ pid: number }>('select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()')
  const sum = async (pids: number[]) => (await Promise.all(pids.map(pid => cpuMs(pid).catch(() => 0)))).reduce((total, ms) => total + ms, 0)
  return Promise.all([sum(workers.map(({ pid }) => pid)), sum([redis]), sum(rows.map(({ pid }) => pid))])
}
