import type { Config } from './config.js'

/** What one of the processes that share a port has of what was configured for all, rounded down. */
export function shareConfig (config: Config): Config {
  const share = (number: number) => Math.floor(number / config.webConcurrency)
  const { database, python } = config
  return Object.freeze({
    ...config,
    maxConcurrentRuns: share(config.maxConcurrentRuns),
    database: database.kind === 'postgres' ? Object.freeze({ ...database, maxConnections: share(database.maxConnections) }) : database,
    // Each process needs one, or none of its agents in Python would ever run.
    python: Object.freeze({ ...python, workers: Math.max(1, share(python.workers)) })
  })
}
