import type { Config } from '../config/config.js'
import { runCommand } from '../lib/command.js'
import { serve } from './serve.js'

/** A worker: makes runs that other processes begin, and answers probes only. */
await runCommand({
  name: 'node dist/worker.js',
  does: 'makes runs that others begin, and answers probes only (npm run worker); its variables are explained in .env.example.',
  options: {}
}, () => serve(import.meta.url, async () => (await import('../app.js')).buildWorker, findProblems))

function findProblems ({ database, maxConcurrentRuns }: Config): string[] {
  return [
    ...(database.kind === 'embedded' ? ['SUPABASE_URL or SUPABASE_DB_URL is missing: a worker needs the database of those who begin runs'] : []),
    ...(maxConcurrentRuns === 0 ? ['MAX_CONCURRENT_RUNS must not be 0: a worker would make no run'] : [])
  ]
}
