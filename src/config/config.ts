import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { type Static, Type } from '@sinclair/typebox'
import { Ajv, type ErrorObject } from 'ajv'
import { DEFAULT_GATEWAY_URL, DEFAULT_MODEL } from '#shared/gateway/defaults.ts'
import {
  checkHeaderValue, checkUrl, judgeRedisUrl, type PrivateHost, readCertificate, readList, readOrigins, readPrivateHosts,
  readWebhookSecret, withoutSlash
} from './values.js'

const Environment = Type.Object({
  PORT: Type.Integer({ minimum: 0, maximum: 65535, default: 3000 }),
  HOST: Type.String({ default: '::' }),
  NODE_ENV: Type.String({ default: 'development' }),
  LOG_LEVEL: Type.Union(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map(level => Type.Literal(level)),
    { default: 'info' }),
  EMBEDDED: Type.Boolean({ default: false }),
  DATA_DIR: Type.String({ default: '.data' }),
  SUPABASE_URL: Type.Optional(Type.String()),
  SUPABASE_SERVICE_ROLE_KEY: Type.Optional(Type.String()),
  SUPABASE_JWT_SECRET: Type.Optional(Type.String()),
  SUPABASE_DB_URL: Type.Optional(Type.String()),
  SUPABASE_DB_POOL_MAX: Type.Integer({ minimum: 1, default: 20 }),
  SUPABASE_DB_CA: Type.Optional(Type.String()),
  REDIS_URL: Type.Optional(Type.String()),
  REDIS_CA: Type.Optional(Type.String()),
  LOVABLE_API_KEY: Type.Optional(Type.String()),
  AI_GATEWAY_URL: Type.Optional(Type.String()),
  AI_MODEL: Type.Optional(Type.String()),
  AI_FALLBACK_MODELS: Type.Optional(Type.String()),
  PYTHON_BIN: Type.Optional(Type.String()),
  PYTHON_MEMORY_MB: Type.Integer({ minimum: 128, maximum: 1_048_576, default: 512 }),
  PYTHON_WORKERS: Type.Integer({ minimum: 1, maximum: 256, default: 2 }),
  RAILWAY_BACKEND_SECRET: Type.Optional(Type.String()),
  CORS_ORIGINS: Type.Optional(Type.String()),
  ALLOW_PRIVATE_TOOL_HOSTS: Type.Optional(Type.String()),
  WEBHOOK_SECRET: Type.Optional(Type.String()),
  MAX_CONCURRENT_RUNS: Type.Integer({ minimum: 0, default: 500 }),
  MAX_RUNS_PER_USER: Type.Integer({ minimum: 1, default: 50 }),
  MAX_QUEUED_RUNS: Type.Integer({ minimum: 0, default: 1000 }),
  KEEP_MESSAGES: Type.Boolean({ default: false }),
  RUN_RETENTION_DAYS: Type.Number({ exclusiveMinimum: 0, maximum: 36_500, default: 30 }),
  RATE_LIMIT_MAX: Type.Integer({ minimum: 1, default: 1000 }),
  RATE_LIMIT_WINDOW: Type.Integer({ minimum: 1, default: 60_000 }),
  BODY_LIMIT: Type.Integer({ minimum: 1, default: 10 * 1024 * 1024 }),
  DRAIN_SECONDS: Type.Number({ minimum: 0, maximum: 86_400, default: 20 }),
  SSE_MAX_SECONDS: Type.Number({ exclusiveMinimum: 0, maximum: 86_400, default: 840 }),
  STREAM_FLUSH_MS: Type.Integer({ minimum: 0, maximum: 1000, default: 50 })
})
type Environment = Static<typeof Environment>

// Used once: neither is the schema held against the one of schemas, nor is time spent on its code being short.
const fits = new Ajv({ allErrors: true, useDefaults: true, coerceTypes: true, meta: false, validateSchema: false, code: { optimize: false } })
  .compile<Environment>(Environment)

/** Where the truth lives. */
export type DatabaseConfig =
  | { readonly kind: 'postgres', readonly url: string, readonly maxConnections: number, readonly ca?: string }
  | { readonly kind: 'supabase', readonly url: string, readonly serviceRoleKey: string }
  | { readonly kind: 'embedded', readonly dataDir: string }

/** What makes many replicas serve as one. */
export interface RedisConfig { readonly url: string, readonly ca?: string }

/** The OpenAI-compatible gateway; `demo` is the one this service brings along for the embedded mode. */
export type GatewayConfig =
  | { readonly kind: 'remote', readonly url: string, readonly key?: string }
  | { readonly kind: 'demo' }

/** What runs agents that are written in Python. */
export interface PythonConfig {
  readonly command: string
  /** Whether `command` was set by the operator, or is the default that the machine may lack. */
  readonly isChosen: boolean
  readonly memoryMb: number
  readonly workers: number
  /** Where commands are: all that agents see of this process's environment. */
  readonly searchPath?: string
}

export interface Config {
  readonly port: number
  readonly host: string
  readonly production: boolean
  readonly logLevel: string
  readonly database: DatabaseConfig
  readonly redis?: RedisConfig
  readonly gateway: GatewayConfig
  /** The model of agents that name none. */
  readonly model: string
  /** Whether `model` was set by the operator, or is the default that a gateway may not know. */
  readonly modelIsChosen: boolean
  /** Tried in turn where a model keeps failing. */
  readonly fallbackModels: readonly string[]
  readonly python: PythonConfig
  readonly supabaseUrl?: string
  readonly jwtSecret?: string
  readonly backendSecret?: string
  readonly corsOrigins: readonly string[]
  readonly privateToolHosts: readonly PrivateHost[]
  /** What webhooks are signed with whose function has no secret of its own. */
  readonly webhookSecret?: string
  readonly maxConcurrentRuns: number
  readonly maxRunsPerUser: number
  readonly maxQueuedRuns: number
  /** Whether what was asked is kept beyond the end of its run. */
  readonly keepMessages: boolean
  readonly runRetentionDays: number
  readonly rateLimitMax: number
  /** Milliseconds. */
  readonly rateLimitWindow: number
  /** Bytes. */
  readonly bodyLimit: number
  readonly drainSeconds: number
  readonly sseMaxSeconds: number
  /** Milliseconds that a model's text may wait for what follows it, while the process is busy. */
  readonly streamFlushMs: number
}

/** All that is wrong with an environment, one readable sentence a problem. */
export class ConfigError extends Error {
  constructor (readonly problems: string[]) {
    super(problems.join('\n'))
  }
}

/**
 * Reads the environment, and a `.env` file for what it lacks, into a frozen Config.
 * @throws {ConfigError} naming every problem at once.
 */
export function loadConfig (): Config {
  return parseConfig({ ...readEnvFile(), ...process.env })
}

/** The same from a plain object; where a variable is blank it counts as not set. */
export function parseConfig (variables: NodeJS.ProcessEnv): Config {
  const set = Object.fromEntries(Object.entries(variables)
    .map(([name, value]) => [name, value?.trim()])
    .filter(([name, value]) => value && name! in Environment.properties)
    // Ajv takes it for a number, and looks no further.
    .map(([name, value]) => [name, value === 'Infinity' ? 'an infinite number' : value]))
  const problems: string[] = []
  const env = readVariables(set, problems)
  const config = env && compose(env, problems, variables.PATH)
  if (!config || problems.length > 0) throw new ConfigError(problems)
  for (const part of Object.values(config)) Object.freeze(part)
  return Object.freeze(config)
}

function readEnvFile (): NodeJS.ProcessEnv {
  try {
    return parseEnv(readFileSync('.env', 'utf8'))
  } catch (error) {
    // A directory of that name is a Python environment, and none of ours.
    if (['ENOENT', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return {}
    throw error
  }
}

function readVariables (set: object, problems: string[]): Environment | undefined {
  // Copies: values are converted, and defaults added, where they stand.
  const env = { ...set }
  if (fits(env)) return env
  problems.push(...describe(fits.errors!))
  // What needs no value of the malformed ones is checked all the same, so that nothing has to be mended twice.
  const malformed = new Set(problems.map(problem => problem.split(' ')[0]))
  const rest = Object.fromEntries(Object.entries(set).filter(([name]) => !malformed.has(name)))
  if (fits(rest)) compose(rest, problems)
}

function describe (errors: ErrorObject[]): string[] {
  const lines = errors
    .filter(error => error.keyword !== 'const')
    .map(({ instancePath, keyword, message }) => {
      const name = instancePath.slice(1)
      return keyword === 'anyOf'
        ? `${name} must be one of ${levels()}`
        : `${name} ${message}`
    })
  return [...new Set(lines)]
}

function levels (): string {
  return Environment.properties.LOG_LEVEL.anyOf.map(level => level.const).join(', ')
}

function compose (env: Environment, problems: string[], searchPath?: string): Config {
  const production = env.NODE_ENV === 'production'
  const database = chooseDatabase(env, production, problems)
  const gateway = chooseGateway(env, database, problems)
  if (database.kind !== 'embedded') {
    if (!env.SUPABASE_JWT_SECRET && !env.SUPABASE_URL) {
      problems.push('SUPABASE_JWT_SECRET is missing: without it, or SUPABASE_URL for its keys, no access token can be checked')
    }
    if (production && !env.RAILWAY_BACKEND_SECRET) {
      problems.push('RAILWAY_BACKEND_SECRET is missing: the edge function proves itself with it (openssl rand -hex 32)')
    }
  }
  return {
    port: env.PORT,
    host: env.HOST,
    production,
    logLevel: env.LOG_LEVEL as string,
    database,
    redis: chooseRedis(env, problems),
    gateway,
    model: env.AI_MODEL ?? DEFAULT_MODEL,
    modelIsChosen: env.AI_MODEL !== undefined,
    fallbackModels: readList(env.AI_FALLBACK_MODELS),
    python: {
      command: env.PYTHON_BIN ?? 'python3',
      isChosen: env.PYTHON_BIN !== undefined,
      memoryMb: env.PYTHON_MEMORY_MB,
      workers: env.PYTHON_WORKERS,
      searchPath
    },
    supabaseUrl: env.SUPABASE_URL && withoutSlash(env.SUPABASE_URL),
    jwtSecret: env.SUPABASE_JWT_SECRET,
    backendSecret: env.RAILWAY_BACKEND_SECRET,
    corsOrigins: readOrigins(env.CORS_ORIGINS, problems),
    privateToolHosts: readPrivateHosts(env.ALLOW_PRIVATE_TOOL_HOSTS, problems),
    webhookSecret: readWebhookSecret(env.WEBHOOK_SECRET, problems),
    maxConcurrentRuns: env.MAX_CONCURRENT_RUNS,
    maxRunsPerUser: env.MAX_RUNS_PER_USER,
    maxQueuedRuns: env.MAX_QUEUED_RUNS,
    keepMessages: env.KEEP_MESSAGES,
    runRetentionDays: env.RUN_RETENTION_DAYS,
    rateLimitMax: env.RATE_LIMIT_MAX,
    rateLimitWindow: env.RATE_LIMIT_WINDOW,
    bodyLimit: env.BODY_LIMIT,
    drainSeconds: env.DRAIN_SECONDS,
    sseMaxSeconds: env.SSE_MAX_SECONDS,
    streamFlushMs: env.STREAM_FLUSH_MS
  }
}

function chooseDatabase (env: Environment, production: boolean, problems: string[]): DatabaseConfig {
  const { SUPABASE_DB_URL: dbUrl, SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: serviceRoleKey } = env
  checkUrl('SUPABASE_DB_URL', dbUrl, ['postgres:', 'postgresql:'], problems)
  checkUrl('SUPABASE_URL', url, ['http:', 'https:'], problems)
  const ca = readCertificate('SUPABASE_DB_CA', env.SUPABASE_DB_CA, problems)
  if (dbUrl) return { kind: 'postgres', url: dbUrl, maxConnections: env.SUPABASE_DB_POOL_MAX, ca }
  if (url) {
    if (!serviceRoleKey) problems.push('SUPABASE_SERVICE_ROLE_KEY is missing: SUPABASE_URL needs it')
    return { kind: 'supabase', url: withoutSlash(url), serviceRoleKey: serviceRoleKey ?? '' }
  }
  if (production && !env.EMBEDDED) {
    problems.push('SUPABASE_URL is missing: set it, or SUPABASE_DB_URL, or EMBEDDED=true to run in production on the embedded database')
  }
  if (env.MAX_CONCURRENT_RUNS === 0) problems.push('MAX_CONCURRENT_RUNS must not be 0 on the embedded database: nobody else could make its runs')
  return { kind: 'embedded', dataDir: env.DATA_DIR }
}

function chooseRedis (env: Environment, problems: string[]): RedisConfig | undefined {
  const { REDIS_URL: url } = env
  const ca = readCertificate('REDIS_CA', env.REDIS_CA, problems)
  if (!url) return undefined
  const before = problems.length
  checkUrl('REDIS_URL', url, ['redis:', 'rediss:'], problems)
  if (problems.length === before) problems.push(...judgeRedisUrl(new URL(url)))
  return { url, ca }
}

function chooseGateway (env: Environment, database: DatabaseConfig, problems: string[]): GatewayConfig {
  checkUrl('AI_GATEWAY_URL', env.AI_GATEWAY_URL, ['http:', 'https:'], problems)
  checkHeaderValue('LOVABLE_API_KEY', env.LOVABLE_API_KEY, problems)
  if (env.AI_GATEWAY_URL || env.LOVABLE_API_KEY) {
    return { kind: 'remote', url: withoutSlash(env.AI_GATEWAY_URL ?? DEFAULT_GATEWAY_URL), key: env.LOVABLE_API_KEY }
  }
  if (database.kind !== 'embedded') {
    problems.push('LOVABLE_API_KEY is missing: set it, or AI_GATEWAY_URL to a gateway that needs no key')
  }
  return { kind: 'demo' }
}
