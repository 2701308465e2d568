import { createHmac, randomBytes } from 'node:crypto'
import t from 'tap'
import { ConfigError, parseConfig } from '../../src/config/config.js'
import { problemOfDatabaseUrl } from '../../src/config/connection-urls.js'

const PROJECT = 'abcdefghijklmnopqrst'
const JWT_SECRET = 'the-legacy-jwt-secret-of-this-project'
const SUPABASE = { SUPABASE_URL: `https://${PROJECT}.supabase.co`, SUPABASE_SERVICE_ROLE_KEY: 'sb_secret_abc', LOVABLE_API_KEY: 'gateway-key' }
const POSTGRES = { SUPABASE_DB_URL: 'postgres://user:password@host/db', SUPABASE_JWT_SECRET: JWT_SECRET, LOVABLE_API_KEY: 'gateway-key' }
const RAILWAY = { RAILWAY_PROJECT_ID: randomBytes(4).toString('hex') }
const SET_KEY = ': set the service role key, or a secret key (sb_secret_…), of the project at SUPABASE_URL'

function problemsOf (variables: Record<string, string>): string[] {
  try {
    parseConfig(variables)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

function warningsOf (variables: Record<string, string>): readonly string[] {
  return parseConfig(variables).warnings
}

/** A legacy key, as a project has it. */
function sign (claims: object, secret = JWT_SECRET): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ iss: 'supabase', ref: PROJECT, role: 'service_role', exp: 4_000_000_000, ...claims })}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

t.test('a password with a separator in it is refused, with the way to write it', async t => {
  for (const [separator, code] of [['#', '%23'], ['/', '%2F'], ['?', '%3F'], ['%', '%25']]) {
    for (const password of [`a${separator}b`, `12${separator}b`, `a@b${separator}c`, `${separator}`, `a:b${separator}`]) {
      const sentence = `has a literal ${separator} in its user or password: write it as ${code}`
      t.same(problemsOf({ ...POSTGRES, SUPABASE_DB_URL: `postgres://user:${password}@host:5432/db` }), [`SUPABASE_DB_URL ${sentence}`], password)
      t.same(problemsOf({ REDIS_URL: `redis://default:${password}@host:6379/1` }), [`REDIS_URL ${sentence}`], password)
    }
  }
  for (const url of ['postgres://user:a%23%2F%3F%25b@host/db', 'postgres://user:a@b@host/db?application_name=a@b/c', 'postgresql://host/db?user=me@here&password=x', 'postgres://host', 'POSTGRES://host/db']) {
    t.equal(problemOfDatabaseUrl('URL', url), undefined, url)
  }
})

t.test('a URL of a database without its beginning, or with a template\'s password, is refused', async t => {
  for (const url of ['postgres:user@host/db', 'postgresql:user:secret@host', 'postgres:/user@host', 'user:secret@host:5432/db', 'mysql://user:secret@host']) {
    t.same(problemsOf({ ...POSTGRES, SUPABASE_DB_URL: url }), ['SUPABASE_DB_URL must be a URL that begins with postgres:// or postgresql://'], url)
  }
  t.same(problemsOf({ REDIS_URL: 'redis:secret@host' }), ['REDIS_URL must be a URL that begins with redis:// or rediss://'])
  t.match(problemsOf({ ...POSTGRES, SUPABASE_DB_URL: 'postgres://user:a b@host:port/db' }), [/^SUPABASE_DB_URL is no URL: in a password, characters such as @ \/ # \? % are written as/])
  t.match(problemsOf({ ...POSTGRES, SUPABASE_DB_URL: `postgresql://postgres.${PROJECT}:[YOUR-PASSWORD]@aws-0-eu-central-1.pooler.supabase.com:5432/postgres` }),
    [/^SUPABASE_DB_URL has \[YOUR-PASSWORD\] in it: write the password of the database there/])
})

t.test('another key in the place of the service role key is refused, by what it is', async t => {
  const others: Array<[string, string]> = [
    ['sb_publishable_N7UND0UgjKTVK', 'a publishable key'],
    ['sbp_0123456789', 'a token of an account'],
    [sign({ role: 'anon' }), 'a key of the role anon'],
    [sign({ role: 'authenticated' }), 'a key of the role authenticated'],
    [sign({ ref: 'tsrqponmlkjihgfedcba' }), 'the key of another project (tsrqponmlkjihgfedcba)'],
    [sign({ exp: 1_000_000_000 }), 'a key that has expired'],
    ['https://abc.supabase.co', 'a URL'],
    [JWT_SECRET, 'the JWT secret']
  ]
  for (const [key, what] of others) {
    t.same(problemsOf({ ...SUPABASE, SUPABASE_SERVICE_ROLE_KEY: key, SUPABASE_JWT_SECRET: JWT_SECRET }), [`SUPABASE_SERVICE_ROLE_KEY is ${what}${SET_KEY}`], what)
    t.same(problemsOf({ ...POSTGRES, SUPABASE_SERVICE_ROLE_KEY: key }), [], 'where it is not used it is left alone')
  }
  for (const key of ['sb_secret_N7UND0UgjKTVK', sign({}), sign({ ref: undefined }), 'a-key-of-ones-own-server', 'eyJ.eyJ.x']) {
    t.same(problemsOf({ ...SUPABASE, SUPABASE_SERVICE_ROLE_KEY: key, SUPABASE_JWT_SECRET: JWT_SECRET }), [], key)
  }
  t.same(problemsOf({ ...SUPABASE, SUPABASE_URL: 'https://api.example.com', SUPABASE_SERVICE_ROLE_KEY: sign({}) }), [], 'a domain of one\'s own names no project')
})

t.test('a JWT secret that has not signed the legacy service role key is refused', async t => {
  const advice = 'copy the legacy JWT secret of the same project from its dashboard, under JWT Keys'
  const of = (secret: string, key = sign({})) => problemsOf({ ...SUPABASE, SUPABASE_SERVICE_ROLE_KEY: key, SUPABASE_JWT_SECRET: secret })
  t.same(of(JWT_SECRET), [])
  t.same(of(`${JWT_SECRET}x`), [`SUPABASE_JWT_SECRET does not verify SUPABASE_SERVICE_ROLE_KEY, which it has to have signed: ${advice}`])
  t.same(of('another', 'sb_secret_abc'), [], 'a secret key shows nothing of it')
  t.same(problemsOf({ ...POSTGRES, SUPABASE_SERVICE_ROLE_KEY: sign({}, 'of another project') }), [], 'nor a key that is not used')
  for (const key of [sign({ role: 'anon' }), 'sb_secret_abc', 'sb_publishable_abc']) t.same(of(key, 'sb_secret_xyz'), [`SUPABASE_JWT_SECRET is a key: ${advice}`])
})

t.test('SUPABASE_URL is the project\'s URL alone', async t => {
  const url = SUPABASE.SUPABASE_URL
  for (const path of ['/rest/v1', '/rest/v1/', '/auth/v1', '/storage/v1/', '/functions/v1/agent-runtime', '/rest/v1/rpc/x?y=1']) {
    t.match(problemsOf({ ...SUPABASE, SUPABASE_URL: url + path }), [`SUPABASE_URL must be the project's URL alone: write ${url}`], path)
  }
  t.same(problemsOf({ ...SUPABASE, SUPABASE_URL: `https://supabase.com/dashboard/project/${PROJECT}/settings/api` }), [`SUPABASE_URL is the address of the dashboard: write ${url}`])
  t.same(problemsOf({ ...SUPABASE, SUPABASE_URL: `${PROJECT}.supabase.co` }), [`SUPABASE_URL must be a URL that begins with http:// or https://: write ${url}`])
  t.match(problemsOf({ ...SUPABASE, SUPABASE_URL: 'postgres://user:secret@host/db' }), ['SUPABASE_URL must be a URL that begins with http:// or https://; a Postgres URL belongs in SUPABASE_DB_URL'])
  t.match(problemsOf({ ...SUPABASE, SUPABASE_URL: `${url}?apikey=x` }), [/^SUPABASE_URL must be the project's URL alone: remove/])
  for (const path of ['', '/', '///', '/behind/a/path']) t.same(problemsOf({ ...SUPABASE, SUPABASE_URL: url + path }), [], path)
})

t.test('a number with a unit or a separator is refused, with what to write', async t => {
  t.same(problemsOf({ DRAIN_SECONDS: '30s', BODY_LIMIT: '10mb', MAX_QUEUED_RUNS: '1_000', RATE_LIMIT_MAX: '1e3', PORT: '0x10' }).sort(), [
    'BODY_LIMIT must be a plain integer of bytes, without a unit: write 10485760 instead of 10mb',
    'DRAIN_SECONDS must be a plain number of seconds, without a unit: write 30 instead of 30s',
    'MAX_QUEUED_RUNS must be a plain integer, without a unit: write 1000 instead of 1_000',
    'PORT must be a plain integer, in digits',
    'RATE_LIMIT_MAX must be a plain integer, without a unit: write 1000 instead of 1e3'
  ])
})

t.test('a boolean is yes or no in any of its words, and a choice in any case', async t => {
  for (const yes of ['true', 'TRUE', 'yes', 'Yes', 'on', '1']) t.equal(parseConfig({ KEEP_MESSAGES: yes }).keepMessages, true, yes)
  for (const no of ['false', 'False', 'no', 'off', '0']) t.equal(parseConfig({ KEEP_MESSAGES: no }).keepMessages, false, no)
  t.equal(parseConfig({ NODE_ENV: 'production', EMBEDDED: 'on' }).database.kind, 'embedded')
  t.match(problemsOf({ KEEP_MESSAGES: 'perhaps' }), [/^KEEP_MESSAGES must be boolean: write true or false$/])
  t.match(parseConfig({ LOG_LEVEL: 'WARN', SCHEDULES: 'OFF' }), { logLevel: 'warn', schedules: 'off' })
})

t.test('origins that match nothing are told: a pattern by a warning, what is no origin by what to write', async t => {
  const neither = (text: string, meant?: string) =>
    [`CORS_ORIGINS must be a comma-separated list of origins such as https://app.example.com, or *; "${text}" is neither${meant ? `: write ${meant}` : ''}`]
  for (const pattern of ['https://*.example.com', 'https://app-*.example.com']) {
    t.same(warningsOf({ CORS_ORIGINS: `https://a.example.com,${pattern}` }), [`CORS_ORIGINS has "${pattern}", which matches no origin, since patterns are not known: write each origin, or * alone`])
  }
  t.same(warningsOf({ CORS_ORIGINS: '*' }), [])
  const meant: Record<string, string | undefined> = {
    'https://app.example.com/path': 'https://app.example.com',
    'https://App.Example.com': 'https://app.example.com',
    'https://app.example.com:443': 'https://app.example.com',
    'app.example.com': 'https://app.example.com',
    '*.example.com': undefined,
    'http://localhost:*': undefined,
    '^https://.*$': undefined
  }
  for (const [text, better] of Object.entries(meant)) t.same(problemsOf({ CORS_ORIGINS: text }), neither(text, better), text)
})

t.test('a NODE_ENV that is nearly production, or is not set on Railway, is a warning', async t => {
  for (const mode of ['prod', 'Production', 'PRODUCTION', 'prodution', 'producton', 'production1', 'productio']) {
    t.same(warningsOf({ NODE_ENV: mode }), [`NODE_ENV is "${mode}", which is not production: write NODE_ENV=production`], mode)
  }
  for (const mode of ['', 'development', 'test', 'staging', 'preview']) t.same(warningsOf({ NODE_ENV: mode }), [], mode)
  t.match(warningsOf({ ...RAILWAY, RAILWAY_DEPLOYMENT_DRAINING_SECONDS: '30' }), [/^NODE_ENV is not set, on Railway: write NODE_ENV=production/])
  t.same(warningsOf({ ...RAILWAY, RAILWAY_DEPLOYMENT_DRAINING_SECONDS: '30', NODE_ENV: 'staging' }), [])
  t.same(warningsOf({ RAILWAY_BACKEND_SECRET: 'x', RAILWAY_BACKEND_SECRET_PREVIOUS: 'y', RAILWAY_DEPLOYMENT_DRAINING_SECONDS: '30' }), [], 'names of ours are no sign of Railway')
})

t.test('times that are probably meant otherwise are warnings', async t => {
  const railway = { ...RAILWAY, NODE_ENV: 'staging', RAILWAY_DEPLOYMENT_DRAINING_SECONDS: '30' }
  t.same(warningsOf({ RATE_LIMIT_WINDOW: '60' }), ['RATE_LIMIT_WINDOW is 60 milliseconds: if seconds are meant, write 60000'])
  t.same(warningsOf({ RATE_LIMIT_WINDOW: '1000' }), [])
  t.match(warningsOf({ ...railway, SSE_MAX_SECONDS: '3600' }), [/^SSE_MAX_SECONDS is 3600, and Railway cuts a connection after 900: write 840/])
  t.same(warningsOf({ SSE_MAX_SECONDS: '3600' }), [], 'elsewhere a connection may last')
  t.same(warningsOf(railway), [])
  const draining = (value: string, more = {}) => warningsOf({ ...railway, RAILWAY_DEPLOYMENT_DRAINING_SECONDS: value, ...more })
  t.match(draining(''), [/^RAILWAY_DEPLOYMENT_DRAINING_SECONDS is not set: write 30, 10 more than DRAIN_SECONDS/])
  t.match(draining('20'), [/^RAILWAY_DEPLOYMENT_DRAINING_SECONDS is 20: write 30, 10 more than DRAIN_SECONDS/])
  t.match(draining('30', { DRAIN_SECONDS: '60.5' }), [/^RAILWAY_DEPLOYMENT_DRAINING_SECONDS is 30: write 71/])
  t.same(draining('30s'), ['RAILWAY_DEPLOYMENT_DRAINING_SECONDS must be a plain number of seconds, without a unit: write 30 instead of 30s'])
  t.same(warningsOf({ RAILWAY_DEPLOYMENT_DRAINING_SECONDS: '1' }), [], 'elsewhere nobody reads it')
})

t.test('a misspelt name of ours is a warning with the right one, and other programs\' names are none', async t => {
  const misspelt: Record<string, string> = {
    SUPABSE_URL: 'SUPABASE_URL',
    SUPABASE_URl: 'SUPABASE_URL',
    supabase_url: 'SUPABASE_URL',
    'SUPABASE-URL': 'SUPABASE_URL',
    SUPABASE_SERVICE_ROLL_KEY: 'SUPABASE_SERVICE_ROLE_KEY',
    SUPABASE_SERVICEROLE_KEY: 'SUPABASE_SERVICE_ROLE_KEY',
    RAILWAY_BACKEND_SECERT: 'RAILWAY_BACKEND_SECRET',
    RAILWAY_BACKEND_URLS: 'RAILWAY_BACKEND_URL',
    CORS_ORIGIN: 'CORS_ORIGINS',
    MAX_CONCURENT_RUNS: 'MAX_CONCURRENT_RUNS',
    DRAIN_SECOND: 'DRAIN_SECONDS',
    NODE_EVN: 'NODE_ENV',
    REDIS_URI: 'REDIS_URL',
    AI_GATWAY_URL: 'AI_GATEWAY_URL'
  }
  for (const [name, meant] of Object.entries(misspelt)) t.same(warningsOf({ [name]: 'x' }), [`${name} is no variable of this service: write ${meant}, if that is meant`], name)
  t.same(warningsOf({ REDIS_URI: 'x', REDIS_URL: 'redis://localhost' }), [], 'where the right one is set, it was another that was meant')
  const others = ['HOME', 'HOSTNAME', 'PATH', 'POST', 'PWD', 'LANG', 'TERM', 'NODE_OPTIONS', 'NODE_VERSION', 'PYTHONPATH', 'PYTHON_VERSION', 'DATABASE_URL', 'REDIS_HOST', 'REDIS_PORT', 'REDISPASSWORD',
    'SUPABASE_KEY', 'SUPABASE_ANON_KEY', 'SUPABASE_DB_PASSWORD', 'SUPABASE_ACCESS_TOKEN', 'JWT_SECRET', 'OPENAI_API_KEY', 'npm_config_loglevel', 'RAILWAY_PROJECT_NAME', 'RAILWAY_SERVICE_NAME',
    'RAILWAY_PUBLIC_DOMAIN', 'RAILWAY_STATIC_URL', 'XDG_DATA_DIRS', 'PORTS', 'LOG_FILE', 'PGPASSWORD', 'TEST_POSTGRES_URL']
  for (const name of others) t.same(warningsOf({ NODE_ENV: 'staging', RAILWAY_DEPLOYMENT_DRAINING_SECONDS: '30', [name]: 'x' }), [], name)
  t.equal(warningsOf(Object.fromEntries(Object.keys(misspelt).map(name => [name, 'x']))).length, 10, 'not more than ten')
})

t.test('nothing that is told has a secret in it', async t => {
  const secrets = {
    SUPABASE_DB_URL: 'postgres://user:top-secret-1#@host/db',
    REDIS_URL: 'redis://:top-secret-2/@host',
    SUPABASE_URL: 'https://user:top-secret-3@host/rest/v1?apikey=top-secret-3',
    SUPABASE_SERVICE_ROLE_KEY: 'sb_publishable_top-secret-4',
    SUPABASE_JWT_SECRET: 'sb_secret_top-secret-5',
    AI_GATEWAY_URL: 'user:top-secret-6@host',
    PORT: 'top-secret-7',
    EMBEDDED: 'top-secret-8',
    RAILWAY_DEPLOYMENT_DRAINING_SECONDS: 'top-secret-9',
    ...RAILWAY
  }
  t.equal(problemsOf(secrets).length, 7)
  t.notMatch(problemsOf(secrets).join('\n'), /top-secret/)
  t.notMatch(warningsOf({ ...RAILWAY, RAILWAY_DEPLOYMENT_DRAINING_SECONDS: 'top-secret-9' }).join('\n'), /top-secret/)
})
