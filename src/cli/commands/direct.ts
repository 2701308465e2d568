import { setTimeout as delay } from 'node:timers/promises'
import { Administration, OPERATOR } from '../../administration/administration.js'
import { ApiKeys } from '../../auth/api-keys.js'
import type { Database } from '../../database/port.js'
import type { Backend, RunLine } from './backend.js'

/** Milliseconds between two looks at a run. */
const LOOK_MS = 1000
const ENDED = ['succeeded', 'failed', 'cancelled']

/** Commands on a database, by the functions that the service calls too. */
export function connectDirectly (database: Database): Backend {
  const administration = new Administration(database)
  const keys = new ApiKeys(database)
  return {
    agents: filter => administration.agents(OPERATOR, filter),
    agent: id => administration.agent(OPERATOR, id),
    createAgent: values => administration.createAgent(OPERATOR, values),
    editAgent: (id, values) => administration.editAgent(OPERATOR, id, values),
    deleteAgent: id => administration.deleteAgent(OPERATOR, id),
    eraseRuns: erasure => administration.eraseRuns(OPERATOR, erasure),
    setRetention: (subject, days) => administration.setRetention(OPERATOR, subject, days),
    retention: filter => administration.retention(OPERATOR, filter),
    keys: userId => keys.list(userId),
    createKey: (userId, body) => keys.create(userId, body),
    revokeKey: (userId, id) => keys.revoke(userId, id),
    users: filter => administration.users(OPERATOR, filter),
    createUser: email => administration.createUser(OPERATOR, email),
    grant: grant => administration.grant(OPERATOR, grant),
    runs: filter => administration.runs(OPERATOR, filter),
    run: id => administration.run(OPERATOR, id),
    async cancelRun (id) {
      const { userId } = await administration.openRun(OPERATOR, id, 'cancel')
      return database.call('cancel_run', { p_user_id: userId, p_run_id: id })
    },
    watchRuns: since => administration.watchRuns(OPERATOR, since),
    follow: (id, signal) => follow(database, administration, id, signal),
    close: () => database.close()
  }
}

/** A run's texts reach the database at its end: until then the process that makes it has them. */
async function * follow (database: Database, administration: Administration, runId: string, signal: AbortSignal): AsyncGenerator<RunLine> {
  const { userId } = await administration.openRun(OPERATOR, runId, 'run_events')
  let told = ''
  for (;;) {
    const { status, attempt, response, error, usage, creditsCharged, finishReason } = await database.call('get_run', { p_user_id: userId, p_run_id: runId })
    if (told !== `${status} ${attempt}`) {
      told = `${status} ${attempt}`
      if (!ENDED.includes(status)) yield { type: status, attempt }
    }
    if (status === 'succeeded') yield { type: 'chunk', content: response }
    if (ENDED.includes(status)) return yield { type: status, error, usage, creditsUsed: creditsCharged, finishReason }
    await delay(LOOK_MS, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
  }
}
