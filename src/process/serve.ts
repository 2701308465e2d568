import closeWithGrace from 'close-with-grace'
import type { buildApp } from '../app.js'
import { type Config, ConfigError, loadConfig } from '../config/config.js'
import { DirectoryLockedError } from '../database/directory-lock.js'
import { UnfitDatabaseError } from '../database/port.js'
import { UnfitRedisError } from '../redis/fitness.js'
import { CLOSE_MS } from '../shutdown.js'
import { tuneCollector } from './collector.js'
import { logConsole } from './console.js'
import { listen } from './listen.js'
import { createLogger } from './logger.js'

/**
 * Runs a process from its environment to its end, by a signal or an unexpected error. Whatever keeps it from starting is
 * printed as one line a problem.
 * @param build builds the app.
 * @param check finds what is wrong with a configuration for this kind of process, one sentence a problem.
 */
export async function serve (build: typeof buildApp, check: (config: Config) => string[] = () => []): Promise<void> {
  tuneCollector()
  try {
    const config = loadConfig()
    const problems = check(config)
    if (problems.length > 0) throw new ConfigError(problems)
    await run(build, config)
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`)
    process.exit(1)
  }
}

async function run (build: typeof buildApp, config: Config): Promise<void> {
  const log = createLogger(config.logLevel)
  logConsole(log)
  for (const warning of config.warnings) log.warn(`config: ${warning}`)
  const app = await build(config, log)
  closeWithGrace({ delay: config.drainSeconds * 1000 + CLOSE_MS, logger: false }, async ({ signal, err }) => {
    if (err) log.fatal({ err }, 'ending after an unexpected error')
    else log.info(`${signal} received: ending`)
    await app.drain()
    await app.close()
    log.info('ended')
  })
  const url = await listen(app, config)
  log.info(`listening at ${url}`)
  if (config.database.kind === 'embedded' && config.database.hasDemo) process.stdout.write(greeting(url))
}

function greeting (url: string): string {
  return `
  jeesi-railway-backend runs in embedded mode at ${url}

  Try it:
  curl -N ${url}/api/agent/execute -H 'content-type: application/json' -H 'x-api-key: jeesi_demo_key_for_local_use_only' -d '{"agentId":"22222222-2222-4222-8222-222222222222","messages":[{"role":"user","content":"Hello"}]}'

`
}

/** Words an error for an operator: one line a problem; only an unexpected error has a stack. */
function explain (error: unknown): string {
  if (error instanceof ConfigError) return error.problems.map(problem => `config: ${problem}`).join('\n')
  if ([DirectoryLockedError, UnfitDatabaseError, UnfitRedisError].some(kind => error instanceof kind)) return (error as Error).message
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
