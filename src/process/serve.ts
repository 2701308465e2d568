import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'
import type { buildApp } from '../app.js'
import { shareConfig } from '../config/share.js'
import { type Config, ConfigError, loadConfig } from '../config/config.js'
import { version } from '../config/version.js'
import { DirectoryLockedError, leaveAddress } from '../database/directory-lock.js'
import { UnfitDatabaseError } from '../database/port.js'
import { UnfitRedisError } from '../redis/fitness.js'
import { CLOSE_MS } from '../shutdown.js'
import { tuneCollector } from './collector.js'
import { logConsole } from './console.js'
import { endWith } from './ending.js'
import { listen } from './listen.js'
import { createLogger } from './logger.js'
import { shareMetrics } from './metrics/share-metrics.js'
import { runPrimary } from './primary.js'
import { sayListening, StartError } from './process-group.js'

type Build = typeof buildApp

/**
 * Runs a process from its environment to its end, by a signal or an unexpected error; with WEB_CONCURRENCY the first of
 * several. Whatever keeps it from starting is printed as one line a problem.
 * @param program the URL of the file that runs this.
 * @param load finds what builds the app; the first of several processes needs none.
 * @param check finds what is wrong with a configuration for this kind of process, one sentence a problem.
 */
export async function serve (program: string, load: () => Promise<Build>, check: (config: Config) => string[] = () => []): Promise<void> {
  try {
    const config = loadConfig()
    const problems = check(config)
    if (problems.length > 0) throw new ConfigError(problems)
    if (config.webConcurrency > 1 && cluster.isPrimary) return await runPrimary(fileURLToPath(program), config)
    tuneCollector(config.webConcurrency)
    await run(await load(), shareConfig(config))
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`)
    process.exit(1)
  }
}

async function run (build: Build, config: Config): Promise<void> {
  const log = createLogger(config.logLevel)
  logConsole(log)
  if (!cluster.isWorker) for (const warning of config.warnings) log.warn(`config: ${warning}`)
  const app = await build(config, log)
  if (cluster.isWorker) shareMetrics(app.metrics)
  endWith({ delayMs: config.drainSeconds * 1000 + CLOSE_MS, log, mayForce: !cluster.isWorker }, async (reason, err) => {
    if (err) log.fatal({ err }, 'ending after an unexpected error')
    else log.info(`${reason} received: ending`)
    await app.drain()
    await app.close()
    log.info('ended')
  })
  const url = await listen(app, config)
  if (config.database.kind === 'embedded') await leaveAddress(config.database.dataDir, url)
  log[cluster.isWorker ? 'debug' : 'info']({ version, commit: config.commit }, `listening at ${url}`)
  sayListening(url)
  if (config.database.kind === 'embedded' && config.database.hasDemo) process.stdout.write(greeting(url, config.console))
}

function greeting (url: string, hasConsole: boolean): string {
  return `
  jeesi-railway-backend runs in embedded mode at ${url}

  ${hasConsole ? `In a browser: ${url}/\n  ` : ''}Try it:
  curl -N ${url}/api/agent/execute -H 'content-type: application/json' -H 'x-api-key: jeesi_demo_key_for_local_use_only' -d '{"agentId":"22222222-2222-4222-8222-222222222222","messages":[{"role":"user","content":"Hello"}]}'

`
}

/** Words an error for an operator: one line a problem; only an unexpected error has a stack. */
function explain (error: unknown): string {
  if (error instanceof ConfigError) return error.problems.map(problem => `config: ${problem}`).join('\n')
  if ([DirectoryLockedError, StartError, UnfitDatabaseError, UnfitRedisError].some(kind => error instanceof kind)) return (error as Error).message
  const { code, message, stack, cause } = error as NodeJS.ErrnoException & { cause?: Error }
  switch (code) {
    case 'EADDRINUSE': return 'PORT is in use by another program: stop that one, or set PORT to another number'
    case 'EACCES':
    case 'EADDRNOTAVAIL':
    case 'EEXIST':
    case 'ENOSPC':
    case 'ENOTFOUND':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR': return `cannot start: ${message}`
    default: return code && /^[a-z_]+$/.test(code) ? `cannot start: ${message} ${cause?.message ?? ''}` : `cannot start: ${stack ?? message}`
  }
}
