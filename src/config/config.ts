import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { Ajv } from 'ajv'
import { DEFAULT_MODEL } from '#shared/gateway/defaults.ts'
import type { PrivateHost } from '#shared/http/addresses.ts'
import { readList, readPrivateHosts } from '#shared/http/private-hosts.ts'
import { readTraceSettings, type TraceSettings } from '#shared/traces/settings.ts'
import {
  chooseDatabase, chooseGateway, choosePython, chooseRedis, type DatabaseConfig, type GatewayConfig, type PythonConfig, type RedisConfig
} from './backing-services.js'
import { checkConcurrency } from './concurrency.js'
import { Environment } from './environment.js'
import { describeErrors } from './malformed.js'
import { checkSecrets, readAnonKey } from './secrets.js'
import { readTexts } from './texts.js'
import { MAKE_SECRET, readCertificate, readCommit, readOrigins, readWebhookSecret, withoutSlash } from './values.js'
import { findWarnings } from './warnings.js'

// The schema is compiled once per process: checking it against the meta-schema and optimising its code would only delay the start.
const fits = new Ajv({ allErrors: true, useDefaults: true, coerceTypes: true, meta: false, validateSchema: false, code: { optimize: false } })
  .compile<Environment>(Environment)

/** The value of NODE_ENV where others than its developers use the service. */
const PRODUCTION = 'production'

const OF_DATABASE = /^(SUPABASE_\w+|NODE_ENV|EMBEDDED|DATA_DIR)$/

export interface Config {
  readonly port: number
  readonly host: string
  /** Processes that share the port. */
  readonly webConcurrency: number
  readonly production: boolean
  readonly logLevel: string
  readonly database: DatabaseConfig
  readonly redis?: RedisConfig
  readonly gateway: GatewayConfig
  /** The model of agents that name none. */
  readonly model: string
  /** Whether the operator has set `model`; otherwise it is the default, which a gateway may not know. */
  readonly modelIsChosen: boolean
  /** Tried in turn when a model keeps failing. */
  readonly fallbackModels: readonly string[]
  readonly python: PythonConfig
  readonly supabaseUrl?: string
  /** The key of the project that pages may show. */
  readonly supabaseAnonKey?: string
  /** Whether the console is served. */
  readonly console: boolean
  readonly jwtSecret?: string
  /** The one before, while it is changed. */
  readonly previousJwtSecret?: string
  readonly backendSecret?: string
  readonly previousBackendSecret?: string
  readonly metricsToken?: string
  /** Undefined where nothing is traced. */
  readonly traces?: TraceSettings
  /** The commit that runs, in hexadecimal digits. */
  readonly commit?: string
  readonly corsOrigins: readonly string[]
  readonly privateToolHosts: readonly PrivateHost[]
  /** Signs the webhooks whose function has no secret of its own. */
  readonly webhookSecret?: string
  /** Who fires schedules: this service; the platform, if anybody; or nobody. */
  readonly schedules: 'service' | 'platform' | 'off'
  readonly maxConcurrentRuns: number
  readonly maxRunsPerUser: number
  readonly maxQueuedRuns: number
  /** Whether the messages of a run are kept beyond its end. */
  readonly keepMessages: boolean
  readonly runRetentionDays: number
  readonly rateLimitMax: number
  /** Milliseconds. */
  readonly rateLimitWindow: number
  /** Bytes that a user may send within the window. */
  readonly rateLimitBytes: number
  /** Bytes. */
  readonly bodyLimit: number
  readonly maxConnectionsPerUser: number
  readonly requestSeconds: number
  readonly drainSeconds: number
  readonly sseMaxSeconds: number
  /** How long a run may last from its first start, over all its attempts. */
  readonly maxRunSeconds: number
  /** How long the head of a plain reader's stream waits for the first output. */
  readonly firstOutputSeconds: number
  /** Milliseconds for which a busy process may hold back a model's text, to send it with the text that follows. */
  readonly streamFlushMs: number
  /** What the operator probably meant otherwise, one sentence each. */
  readonly warnings: readonly string[]
}

/** Everything that is wrong with an environment, one readable sentence a problem. */
export class ConfigError extends Error {
  /** @param config what there is beside the problems, for who looks further. */
  constructor (readonly problems: string[], readonly config?: Config) {
    super(problems.join('\n'))
  }
}

/**
 * Reads the environment into a frozen Config, and a `.env` file for the variables that the environment lacks.
 * @throws {ConfigError} naming every problem at once.
 */
export function loadConfig (): Config {
  return parseConfig(readVariables())
}

/** All variables: the environment's, and those of a `.env` file that it lacks. */
export function readVariables (): NodeJS.ProcessEnv {
  return { ...readEnvFile(), ...process.env }
}

/** Whether NODE_ENV is `production`, for a command that needs nothing else of the environment. */
export function isProduction (): boolean {
  return readVariables().NODE_ENV?.trim() === PRODUCTION
}

/**
 * Reads SUPABASE_DB_URL and SUPABASE_DB_CA alone, for a command that needs nothing else of the environment.
 * @throws {ConfigError} if the CA is no certificate.
 */
export function loadDatabaseUrl (): { url?: string, ca?: string } {
  const { SUPABASE_DB_URL: url, SUPABASE_DB_CA: ca } = readVariables()
  const problems: string[] = []
  const read = { url: url?.trim() || undefined, ca: readCertificate('SUPABASE_DB_CA', ca?.trim(), problems) }
  if (problems.length > 0) throw new ConfigError(problems)
  return read
}

/** Which database is configured, and what signs tokens. */
export type DatabaseSettings = Pick<Config, 'database' | 'jwtSecret'>

/**
 * Reads the variables of the database and of access tokens alone, for a command that needs nothing else of the environment.
 * @throws {ConfigError} naming every problem of theirs at once.
 */
export function loadDatabase (): DatabaseSettings {
  const problems: string[] = []
  const variables = Object.entries(readVariables()).filter(([name]) => OF_DATABASE.test(name))
  const env = readEnvironment(readTexts(Object.fromEntries(variables), problems), problems)
  const database = env && chooseDatabase(env, env.NODE_ENV === PRODUCTION, problems)
  if (!database || problems.length > 0) throw new ConfigError(problems)
  return { database, jwtSecret: env.SUPABASE_JWT_SECRET }
}

/** Reads a Config from a plain object. A blank variable counts as not set. @throws {ConfigError} naming every problem at once. */
export function parseConfig (variables: NodeJS.ProcessEnv): Config {
  const problems: string[] = []
  const env = readEnvironment(readTexts(variables, problems), problems)
  const config = env && compose(env, problems, variables)
  if (!config || problems.length > 0) throw new ConfigError(problems, config)
  for (const part of Object.values(config)) Object.freeze(part)
  return Object.freeze(config)
}

function readEnvFile (): NodeJS.ProcessEnv {
  try {
    return parseEnv(readFileSync('.env', 'utf8'))
  } catch (error) {
    // A directory named .env is a Python environment.
    if (['ENOENT', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return {}
    throw error
  }
}

function readEnvironment (set: object, problems: string[]): Environment | undefined {
  // A copy, since Ajv converts values and adds defaults in place.
  const env = { ...set }
  if (fits(env)) return env
  problems.push(...describeErrors(fits.errors!))
  // The rules that need none of the malformed values are checked too, so that one report names every problem.
  const malformed = new Set(problems.map(problem => problem.split(' ')[0]))
  const rest = Object.fromEntries(Object.entries(set).filter(([name]) => !malformed.has(name)))
  return fits(rest) ? rest : undefined
}

/** Beside a Supabase project the platform's own runner fires schedules, unless the operator says otherwise. */
function chooseSchedules (setting: Environment['SCHEDULES'], database: DatabaseConfig): Config['schedules'] {
  const isEmbedded = database.kind === 'embedded'
  const isOn = setting === undefined ? isEmbedded : setting === 'on'
  return isOn ? 'service' : isEmbedded ? 'off' : 'platform'
}

function compose (env: Environment, problems: string[], variables: NodeJS.ProcessEnv = {}): Config {
  const production = env.NODE_ENV === PRODUCTION
  const database = chooseDatabase(env, production, problems)
  const gateway = chooseGateway(env, database, problems)
  checkSecrets(env, production, problems)
  checkConcurrency(env, database.kind === 'embedded', problems)
  if (database.kind !== 'embedded') {
    if (!env.SUPABASE_JWT_SECRET && !env.SUPABASE_URL) {
      problems.push('SUPABASE_JWT_SECRET is missing: without it, or SUPABASE_URL for its keys, no access token can be checked')
    }
    if (production && !env.RAILWAY_BACKEND_SECRET) {
      problems.push(`RAILWAY_BACKEND_SECRET is missing: the edge function authenticates itself with it; ${MAKE_SECRET}`)
    }
  }
  return {
    port: env.PORT,
    host: env.HOST ?? (database.kind === 'embedded' ? 'localhost' : '::'),
    webConcurrency: env.WEB_CONCURRENCY,
    production,
    logLevel: env.LOG_LEVEL as string,
    database,
    redis: chooseRedis(env, problems),
    gateway,
    model: env.AI_MODEL ?? DEFAULT_MODEL,
    modelIsChosen: env.AI_MODEL !== undefined,
    fallbackModels: readList(env.AI_FALLBACK_MODELS),
    python: choosePython(env, variables.PATH),
    supabaseUrl: env.SUPABASE_URL && withoutSlash(env.SUPABASE_URL),
    supabaseAnonKey: readAnonKey(env, problems),
    console: env.CONSOLE ?? !production,
    jwtSecret: env.SUPABASE_JWT_SECRET,
    previousJwtSecret: env.SUPABASE_JWT_SECRET_PREVIOUS,
    backendSecret: env.RAILWAY_BACKEND_SECRET,
    previousBackendSecret: env.RAILWAY_BACKEND_SECRET_PREVIOUS,
    metricsToken: env.METRICS_TOKEN,
    traces: readTraceSettings(env, 'jeesi-railway-backend', problems),
    commit: readCommit(env.RAILWAY_GIT_COMMIT_SHA),
    corsOrigins: readOrigins(env.CORS_ORIGINS, problems),
    privateToolHosts: readPrivateHosts(env.ALLOW_PRIVATE_TOOL_HOSTS, problems),
    webhookSecret: readWebhookSecret(env.WEBHOOK_SECRET, problems),
    schedules: chooseSchedules(env.SCHEDULES, database),
    maxConcurrentRuns: env.MAX_CONCURRENT_RUNS,
    maxRunsPerUser: env.MAX_RUNS_PER_USER,
    maxQueuedRuns: env.MAX_QUEUED_RUNS,
    keepMessages: env.KEEP_MESSAGES,
    runRetentionDays: env.RUN_RETENTION_DAYS,
    rateLimitMax: env.RATE_LIMIT_MAX,
    rateLimitWindow: env.RATE_LIMIT_WINDOW,
    rateLimitBytes: env.RATE_LIMIT_BYTES,
    bodyLimit: env.BODY_LIMIT,
    maxConnectionsPerUser: env.MAX_CONNECTIONS_PER_USER,
    requestSeconds: env.REQUEST_SECONDS,
    drainSeconds: env.DRAIN_SECONDS,
    sseMaxSeconds: env.SSE_MAX_SECONDS,
    maxRunSeconds: env.MAX_RUN_SECONDS,
    firstOutputSeconds: env.FIRST_OUTPUT_SECONDS,
    streamFlushMs: env.STREAM_FLUSH_MS,
    warnings: findWarnings(env, variables)
  }
}
