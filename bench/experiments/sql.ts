import { setTimeout as delay } from 'node:timers/promises'
import { startProxy } from '../sql-proxy.js'
import { startOnDatabase, startOurs } from '../subjects/ours.js'
import { startLoad, withServer } from '../trial.js'
import type { Experiment } from './experiment.js'

/** Periodic calls, whose number does not depend on the number of runs. */
const PERIODIC = /\b(heartbeat_worker|get_owned_runs|claim_runs|release_runs|get_ended_runs|erase_old_runs|schema_version)\b/
const RUNS = 500
/** Few enough that calls are not grouped: a group has one more statement, for its time limit. */
const CONNECTIONS = 4
const SETTLE_MS = 500

/** Counts the statements that reach Postgres. */
export const sql: Experiment = {
  metrics: ['sql_calls_per_run'],
  subjects: ['ours'],
  async measure (lab, subject) {
    const calls: string[] = []
    const start = (_: unknown, upstream: string) => startOnDatabase(lab, async database => {
      const proxy = await startProxy(database.url, statement => calls.push(statement))
      const server = await startOurs(lab, { upstream, databaseUrl: proxy.url })
      return { ...server, stop: () => server.stop().finally(proxy.close) }
    })
    return withServer(lab, { start }, async server => {
      await delay(SETTLE_MS)
      calls.length = 0
      const load = startLoad(lab, subject, server, { tokens: 1, delayMs: 0, firstMs: 0, burst: 1, connections: CONNECTIONS, streams: RUNS })
      await load.ended().finally(() => load.stop())
      await delay(SETTLE_MS)
      return { sql_calls_per_run: calls.filter(call => !PERIODIC.test(call)).length / RUNS }
    })
  }
}
