import type { Environment } from './environment.js'

/** Says what keeps several processes from sharing one port. */
export function checkConcurrency (env: Environment, isEmbedded: boolean, problems: string[]): void {
  const { WEB_CONCURRENCY: processes, MAX_CONCURRENT_RUNS: runs, SUPABASE_DB_POOL_MAX: connections } = env
  if (processes === 1) return
  if (isEmbedded) {
    problems.push('WEB_CONCURRENCY must be 1 on the embedded database, which one process alone can open: set SUPABASE_DB_URL or SUPABASE_URL')
  } else if (!env.REDIS_URL) {
    problems.push('REDIS_URL is missing: WEB_CONCURRENCY above 1 needs it, so that a reader finds a run that another process makes')
  }
  if (runs > 0 && runs < processes) problems.push(`MAX_CONCURRENT_RUNS must be 0 or at least WEB_CONCURRENCY (${processes}), whose processes share it`)
  if (env.SUPABASE_DB_URL && connections < processes) problems.push(`SUPABASE_DB_POOL_MAX must be at least WEB_CONCURRENCY (${processes}), whose processes share it`)
}
