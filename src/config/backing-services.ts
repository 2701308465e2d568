import { problemOfHttpUrl } from '#shared/environment/urls.ts'
import { readBaseUrl } from '#shared/gateway/base-url.ts'
import { DEFAULT_GATEWAY_URL } from '#shared/gateway/defaults.ts'
import type { Environment } from './environment.js'
import { problemOfConnectionUrl, problemOfDatabaseUrl } from './connection-urls.js'
import { problemOfJwtSecret, problemOfProjectUrl, problemOfServiceKey } from './supabase.js'
import { checkHeaderValue, checkRedisUrl, readCertificate, withoutSlash } from './values.js'

/** The database of users, agents, runs and credits. */
export type DatabaseConfig =
  | { readonly kind: 'postgres', readonly url: string, readonly maxConnections: number, readonly ca?: string }
  | { readonly kind: 'supabase', readonly url: string, readonly serviceRoleKey: string }
  | { readonly kind: 'embedded', readonly dataDir: string, readonly hasDemo: boolean }

/** The Redis server that joins several processes. */
export interface RedisConfig { readonly url: string, readonly ca?: string }

/** AI_GATEWAY_URL of who wants the built-in model beside a database of their own. */
const DEMO = 'demo'

/** The OpenAI-compatible gateway; `demo` is the built-in model: that of the embedded mode, and elsewhere of who asks for it. */
export type GatewayConfig =
  | { readonly kind: 'remote', readonly url: string, readonly key?: string, /** `/chat/completions` was taken off the URL. */ readonly isCut?: boolean }
  | { readonly kind: 'demo' }

/** The interpreter of agents and functions that are written in Python. */
export interface PythonConfig {
  readonly command: string
  /** Whether the operator has set `command`; otherwise it is the default, which the machine may lack. */
  readonly isChosen: boolean
  /** MiB that a worker and all processes that it starts may need. */
  readonly memoryMb: number
  /** Processes that a worker may be at once. */
  readonly maxProcesses: number
  readonly workers: number
  /** PATH: the only variable of this process that agents see. */
  readonly searchPath?: string
}

export function chooseDatabase (env: Environment, production: boolean, problems: string[]): DatabaseConfig {
  const { SUPABASE_DB_URL: dbUrl, SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: serviceRoleKey, SUPABASE_JWT_SECRET: jwtSecret } = env
  // By a Postgres connection no key is used.
  const usedKey = dbUrl ? undefined : serviceRoleKey
  checkHeaderValue('SUPABASE_SERVICE_ROLE_KEY', usedKey, problems)
  problems.push(...[
    dbUrl && problemOfDatabaseUrl('SUPABASE_DB_URL', dbUrl),
    url && problemOfProjectUrl(url),
    url && usedKey && problemOfServiceKey(usedKey, url, jwtSecret),
    jwtSecret && problemOfJwtSecret(jwtSecret, usedKey)
  ].flatMap(problem => problem || []))
  const ca = readCertificate('SUPABASE_DB_CA', env.SUPABASE_DB_CA, problems)
  if (dbUrl) return { kind: 'postgres', url: dbUrl, maxConnections: env.SUPABASE_DB_POOL_MAX, ca }
  if (url) {
    if (!serviceRoleKey) problems.push('SUPABASE_SERVICE_ROLE_KEY is missing: SUPABASE_URL needs it')
    return { kind: 'supabase', url: withoutSlash(url), serviceRoleKey: serviceRoleKey ?? '' }
  }
  if (production && !env.EMBEDDED) {
    problems.push('SUPABASE_URL is missing: set it, or SUPABASE_DB_URL, or EMBEDDED=true to run in production on the embedded database')
  }
  if (env.MAX_CONCURRENT_RUNS === 0) problems.push('MAX_CONCURRENT_RUNS must not be 0 on the embedded database: no other process could execute its runs')
  return { kind: 'embedded', dataDir: env.DATA_DIR, hasDemo: !production }
}

export function chooseRedis (env: Environment, problems: string[]): RedisConfig | undefined {
  const { REDIS_URL: url } = env
  const ca = readCertificate('REDIS_CA', env.REDIS_CA, problems)
  if (!url) return undefined
  const problem = problemOfConnectionUrl('REDIS_URL', url, ['redis', 'rediss'])
  problems.push(...problem ? [problem] : checkRedisUrl(new URL(url)))
  return { url, ca }
}

export function chooseGateway (env: Environment, database: DatabaseConfig, problems: string[]): GatewayConfig {
  if (env.AI_GATEWAY_URL === DEMO) {
    if (env.NODE_ENV === 'production') problems.push(`AI_GATEWAY_URL is ${DEMO}: its model understands nothing, and is not for production; set it to a gateway's URL`)
    return { kind: DEMO }
  }
  const problem = env.AI_GATEWAY_URL && problemOfHttpUrl('AI_GATEWAY_URL', env.AI_GATEWAY_URL)
  if (problem) problems.push(problem)
  checkHeaderValue('LOVABLE_API_KEY', env.LOVABLE_API_KEY, problems)
  if (env.AI_GATEWAY_URL || env.LOVABLE_API_KEY) {
    const base = readBaseUrl(env.AI_GATEWAY_URL ?? DEFAULT_GATEWAY_URL)
    if ('url' in base) return { kind: 'remote', url: base.url, key: env.LOVABLE_API_KEY, ...(base.isCut && { isCut: true }) }
    problems.push(`AI_GATEWAY_URL ${base.problem}`)
    return { kind: 'demo' }
  }
  if (database.kind !== 'embedded') {
    problems.push('LOVABLE_API_KEY is missing: set it, or AI_GATEWAY_URL to a gateway that needs no key, or to demo for the built-in model')
  }
  return { kind: 'demo' }
}

export function choosePython (env: Environment, searchPath?: string): PythonConfig {
  return {
    command: env.PYTHON_BIN ?? 'python3',
    isChosen: env.PYTHON_BIN !== undefined,
    memoryMb: env.PYTHON_MEMORY_MB,
    maxProcesses: env.PYTHON_MAX_PROCESSES,
    workers: env.PYTHON_WORKERS,
    searchPath
  }
}
