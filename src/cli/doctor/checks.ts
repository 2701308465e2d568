import { readJwtSecret, signAccessToken } from '../../auth/access-token.js'
import { OPERATOR } from '../../administration/administration.js'
import type { Config } from '../../config/config.js'
import { DirectoryLockedError, readAddress } from '../../database/directory-lock.js'
import { openDatabase } from '../../database/open.js'
import type { Database } from '../../database/port.js'
import { checkSchema, SCHEMA_VERSION } from '../../database/schema-version.js'
import { bareEnvironment, detectPython } from '../../executor/python/detect.js'
import { ask, type Check, type Finding, note, ok, type Patient, wrong } from './finding.js'

/** Seconds by which clocks may differ: a token may be refused for more. */
const MAX_AHEAD = 10
const OF_DRAINING = /^RAILWAY_DEPLOYMENT_DRAINING_SECONDS/
/** Seconds that a process needs for its end after its runs. */
const END_SECONDS = 10

/** What does not depend on how far the variables can be read. */
const UNREADABLE = 'it cannot be told before the variables are right'

/** Problems and warnings of the variables; the sentences say what to write. */
const variables: Check = async ({ problems, config }) => {
  const warnings = config?.warnings.filter(warning => !OF_DRAINING.test(warning)) ?? []
  const findings = [...problems.map(problem => wrong('variables', problem)), ...warnings.map(warning => note('variables', warning))]
  return findings.length > 0 ? findings : [ok('variables', `they fit, and mean ${config!.database.kind === 'postgres' ? 'PostgreSQL' : config!.database.kind === 'supabase' ? 'Supabase' : 'the embedded database'}`)]
}

/** Whether the project answers, and with which keys it signs tokens. */
const supabase: Check = async patient => {
  const { config } = patient
  if (!config?.supabaseUrl) return [ok('supabase', 'SUPABASE_URL is not set: there is no project to reach')]
  const response = await ask(patient, 'Supabase', `${config.supabaseUrl}/auth/v1/.well-known/jwks.json`)
  if (!response.ok) {
    await response.body?.cancel()
    return [wrong('supabase', `the project answers ${response.status} where its keys should be`, 'check SUPABASE_URL, and that the project is not paused')]
  }
  const { keys } = await response.json().catch(() => ({})) as { keys?: unknown[] }
  if (!Array.isArray(keys)) return [wrong('supabase', 'SUPABASE_URL answers, and not as a Supabase project', 'set it to the project\'s URL, such as https://<project>.supabase.co')]
  if (keys.length === 0 && !config.jwtSecret) {
    return [wrong('supabase', 'the project publishes no keys, and SUPABASE_JWT_SECRET is not set: no access token can be checked', 'copy the secret from the dashboard, under JWT Keys')]
  }
  return [ok('supabase', `the project answers, and publishes ${keys.length} ${keys.length === 1 ? 'key' : 'keys'} for access tokens`)]
}

/** Which kind of key each variable has; that one is of the wrong kind is a problem of the variables. */
const keys: Check = async ({ config, problems }) => {
  if (!config) return [note('keys', UNREADABLE)]
  const { database, jwtSecret } = config
  if (problems.some(problem => /^SUPABASE_(SERVICE_ROLE_KEY|JWT_SECRET) /.test(problem))) return [wrong('keys', 'a key is not what its variable needs: see variables')]
  const says = database.kind !== 'supabase'
    ? 'the database is reached without a key of Supabase'
    : `SUPABASE_SERVICE_ROLE_KEY is ${database.serviceRoleKey.startsWith('sb_secret_') ? 'a secret key (sb_secret_…)' : 'a legacy key of the role service_role'}`
  return [ok('keys', `${says}; tokens are checked by ${[jwtSecret && 'SUPABASE_JWT_SECRET', config.supabaseUrl && 'the project\'s published keys', !jwtSecret && database.kind === 'embedded' && 'the secret in DATA_DIR'].filter(Boolean).join(' and ')}`)]
}

/** Whether the database answers, is writable, and has the migrations; its clock is noted. */
const database: Check = async patient => {
  const { config, clocks } = patient
  if (!config) return [note('database', UNREADABLE)]
  let opened
  try {
    opened = await openDatabase(config.database)
  } catch (error) {
    if (error instanceof DirectoryLockedError && config.database.kind === 'embedded') return lookAtOwner(patient, config.database.dataDir, error)
    throw error
  }
  try {
    const { status, reason } = await checkSchema(opened.database)
    if (status !== 'up') return [wrong('database', reason ?? `it is ${status}`, status === 'away' ? 'check that it runs and can be reached from here' : undefined)]
    await noteClock(opened.database, clocks)
    return [ok('database', `${opened.description} answers${reason ? `: ${reason}` : `, with the migrations (version ${SCHEMA_VERSION})`}`)]
  } finally {
    await opened.database.close()
  }
}

/** The embedded database belongs to a running process: whether that is a service which answers. */
async function lookAtOwner (patient: Patient, dataDir: string, { pid, message }: DirectoryLockedError): Promise<Finding[]> {
  const url = await readAddress(dataDir, pid)
  if (!url) return [wrong('database', message)]
  const response = await ask(patient, 'the service', `${url}/ready`)
  await response.body?.cancel()
  return [response.ok ? ok('database', `the service at ${url} has it, and is ready`) : wrong('database', `the service at ${url} has it, and is not ready (${response.status})`, `see ${url}/ready`)]
}

async function noteClock (database: Database, clocks: Patient['clocks']): Promise<void> {
  const before = Date.now()
  const { now } = await database.call('schema_version')
  if (now !== undefined) clocks.push({ name: 'the database', ahead: (Date.parse(now) - (before + Date.now()) / 2) / 1000 })
}

/** Signs a token, and shows it to the service that was named. */
const token: Check = async patient => {
  const { config, service } = patient
  if (!config) return [note('token', UNREADABLE)]
  const secret = await readJwtSecret(config)
  if (!secret) return [config.supabaseUrl ? ok('token', 'the project alone signs tokens: SUPABASE_JWT_SECRET is not set') : wrong('token', 'there is nothing to check access tokens with', 'set SUPABASE_JWT_SECRET or SUPABASE_URL')]
  const signed = await signAccessToken(secret, OPERATOR, '1m')
  if (!service) return [ok('token', 'a token can be signed; --service <url> shows it to a service')]
  const response = await ask(patient, 'the service', `${service}/api/admin/stats`, { authorization: `Bearer ${signed}` })
  await response.body?.cancel()
  if (response.ok) return [ok('token', `${service} takes a token that is signed here`)]
  return [wrong('token', `${service} answers ${response.status} to a token that is signed here`, response.status === 401 ? 'give both the same SUPABASE_JWT_SECRET, and see clock' : `see ${service}/ready`)]
}

/** Asks the gateway for its models, as the service does, with the key. */
const gateway: Check = async patient => {
  const { config } = patient
  if (!config) return [note('gateway', UNREADABLE)]
  if (config.gateway.kind === 'demo') {
    return patient.problems.some(problem => problem.startsWith('LOVABLE_API_KEY')) ? [wrong('gateway', 'none is configured: see variables')] : [ok('gateway', 'the built-in demo model answers')]
  }
  const { url, key } = config.gateway
  const where = new URL(url).host
  const response = await ask(patient, 'the gateway', `${url}/models`, key ? { authorization: `Bearer ${key}` } : {})
  const body = await response.json().catch(() => undefined) as { data?: unknown } | undefined
  if ([401, 403].includes(response.status)) return [wrong('gateway', `${where} does not accept ${key ? 'the key' : 'requests without a key'} (${response.status})`, 'set LOVABLE_API_KEY to its key')]
  if (response.status === 429) return [note('gateway', `${where} answers, and asks to wait (429)`)]
  if (response.status === 404 || response.status === 405) return [note('gateway', `${where} lists no models (${response.status})`, 'if runs fail too, AI_GATEWAY_URL is not its base URL, which ends in /v1 with most')]
  if (!response.ok) return [wrong('gateway', `${where} answers ${response.status}`, 'see its status page, and AI_GATEWAY_URL')]
  if (!Array.isArray(body?.data)) return [wrong('gateway', `${where} answers, and not as an OpenAI-compatible API`, 'set AI_GATEWAY_URL to its base URL, which ends in /v1 with most')]
  return [ok('gateway', `${where} answers${key ? ' and takes the key' : ''}: ${body.data.length} models`), ...lacksModel(config, body.data)]
}

function lacksModel ({ model, modelIsChosen }: Config, data: unknown[]): Finding[] {
  const isListed = data.some(each => (each as { id?: unknown } | null)?.id === model)
  return isListed || !modelIsChosen ? [] : [note('gateway', `it lists no model ${model}`, 'set AI_MODEL to one that it lists')]
}

/** Whether Redis answers and is fit for this service. */
const redis: Check = async ({ config }) => {
  if (!config?.redis) return [ok('redis', 'REDIS_URL is not set: this is one process, which needs none')]
  const { RedisLink } = await import('../../redis/link.js')
  const lines: string[] = []
  const keep = (...args: unknown[]) => { lines.push(String(args.at(-1))) }
  const link = new RedisLink(config.redis, { info: () => {}, warn: keep, error: keep })
  try {
    await link.connect()
    return [link.isUp ? ok('redis', 'it answers, and fits') : wrong('redis', lines.at(-1) ?? 'it does not answer', 'check that it runs and can be reached from here')]
  } finally {
    link.close()
  }
}

/** Whether there is a Python for agents and functions in it. */
const python: Check = async ({ config }) => {
  if (!config) return [note('python', UNREADABLE)]
  const { command, isChosen, searchPath } = config.python
  const found = await detectPython(command, bareEnvironment(searchPath))
  if ('path' in found) return [ok('python', `${found.path} is Python ${found.version}`)]
  return [isChosen ? wrong('python', found.reason, 'set PYTHON_BIN to a Python of 3.9 or newer') : note('python', `${found.reason}: agents and functions in Python fail`, 'install Python 3.9 or newer, or set PYTHON_BIN')]
}

/** Whether this machine's clock agrees with those that have answered. */
export const clock: Check = async ({ clocks }) => {
  const off = clocks.filter(({ ahead }) => Math.abs(ahead) > MAX_AHEAD)
  if (off.length > 0) return off.map(({ name, ahead }) => wrong('clock', `this machine is ${Math.abs(Math.round(ahead))} s ${ahead > 0 ? 'behind' : 'ahead of'} ${name}`, 'set its clock by NTP: tokens are refused otherwise'))
  return [clocks.length > 0 ? ok('clock', `it agrees with ${[...new Set(clocks.map(({ name }) => name))].join(', ')}`) : note('clock', 'nobody has told another time')]
}

/** Whether the platform waits for a process to end. */
const draining: Check = async ({ config, variables }) => {
  if (!config) return [note('draining', UNREADABLE)]
  const warning = config.warnings.find(text => OF_DRAINING.test(text))
  const needed = Math.ceil(config.drainSeconds) + END_SECONDS
  if (warning) return [wrong('draining', warning)]
  if (variables.RAILWAY_DEPLOYMENT_DRAINING_SECONDS?.trim()) return [ok('draining', `Railway waits as long as a process needs, ${needed} s`)]
  return [ok('draining', `a process needs ${needed} s for its end: let what stops it wait as long`)]
}

/** All checks that need no others, in the order in which they are told; `clock` comes after them. */
export const CHECKS: Record<string, Check> = { variables, supabase, keys, database, token, gateway, redis, python, draining }
