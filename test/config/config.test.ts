import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { DEFAULT_GATEWAY_URL, DEFAULT_MODEL } from '#shared/gateway/defaults.ts'
import { type Config, ConfigError, parseConfig } from '../../src/config/config.js'
import { Environment } from '../../src/config/environment.js'

const EXAMPLE = new URL('../../.env.example', import.meta.url)
const VARIABLE = /^(?:# )?([A-Z_]+)=/
const WEBHOOK_SECRET = `whsec_${randomBytes(24).toString('base64')}`
const [JWT_SECRET, BACKEND_SECRET] = [randomBytes(32).toString('base64'), randomBytes(32).toString('hex')]
const SUPABASE = { SUPABASE_URL: 'https://project.supabase.co', SUPABASE_SERVICE_ROLE_KEY: 'service-key', LOVABLE_API_KEY: 'gateway-key' }
const POSTGRES = { SUPABASE_DB_URL: 'postgres://user:db-password@host/db', SUPABASE_JWT_SECRET: 'jwt-secret', LOVABLE_API_KEY: 'gateway-key' }

t.test('nothing has to be set: the embedded mode, the demo model, and defaults', async t => {
  const expected = {
    port: 3000,
    host: 'localhost',
    webConcurrency: 1,
    production: false,
    logLevel: 'info',
    database: { kind: 'embedded', dataDir: '.data', hasDemo: true },
    redis: undefined,
    gateway: { kind: 'demo' },
    model: DEFAULT_MODEL,
    modelIsChosen: false,
    supabaseUrl: undefined,
    supabaseAnonKey: undefined,
    console: true,
    jwtSecret: undefined,
    previousJwtSecret: undefined,
    backendSecret: undefined,
    previousBackendSecret: undefined,
    metricsToken: undefined,
    commit: undefined,
    traces: undefined,
    corsOrigins: [],
    privateToolHosts: [],
    webhookSecret: undefined,
    schedules: 'service',
    maxConcurrentRuns: 500,
    maxRunsPerUser: 50,
    maxQueuedRuns: 1000,
    rateLimitMax: 1000,
    rateLimitWindow: 60_000,
    rateLimitBytes: 100 * 1024 * 1024,
    bodyLimit: 10 * 1024 * 1024,
    maxConnectionsPerUser: 1000,
    requestSeconds: 120,
    maxRunSeconds: 86_400,
    drainSeconds: 20,
    sseMaxSeconds: 840,
    firstOutputSeconds: 10,
    streamFlushMs: 50,
    fallbackModels: [],
    keepMessages: false,
    runRetentionDays: 30,
    warnings: [],
    python: { command: 'python3', isChosen: false, memoryMb: 512, maxProcesses: 64, workers: 2, searchPath: undefined }
  }
  t.strictSame(parseConfig({}), expected)
  const blank = Object.fromEntries((await namesInExample()).map((name, index) => [name, [' ', '', '\t\n'][index % 3]]))
  t.strictSame(parseConfig(blank), expected, 'a blank variable counts as not set')
  t.strictSame(parseConfig({ HOME: '/root', UNKNOWN: 'x' }), expected, 'what is not ours is left alone')
  t.equal(DEFAULT_GATEWAY_URL, 'https://ai.gateway.lovable.dev/v1')
  t.equal(DEFAULT_MODEL, 'google/gemini-2.5-flash')
})

const TRACED = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318/otel/' }

t.test('the configuration is frozen', async t => {
  const config = parseConfig({}) as { port: number }
  t.throws(() => { config.port = 1 }, TypeError)
})

t.test('every variable is read, without the blanks around it', async t => {
  const config = parseConfig({
    ...SUPABASE,
    PORT: ' 8080 ',
    HOST: '127.0.0.1',
    NODE_ENV: 'production',
    LOG_LEVEL: 'warn',
    SUPABASE_JWT_SECRET: JWT_SECRET,
    SUPABASE_JWT_SECRET_PREVIOUS: ' the-old-jwt-secret-of-more-than-32-characters ',
    AI_GATEWAY_URL: 'http://localhost:11434/v1/',
    AI_MODEL: 'llama3',
    RAILWAY_BACKEND_SECRET: BACKEND_SECRET,
    RAILWAY_BACKEND_SECRET_PREVIOUS: 'the-old-backend-secret-of-more-than-32-characters',
    METRICS_TOKEN: BACKEND_SECRET,
    RAILWAY_GIT_COMMIT_SHA: 'ABCDEF0123456789',
    CONSOLE: ' yes ',
    SUPABASE_ANON_KEY: ' sb_publishable_key ',
    CORS_ORIGINS: 'https://app.example.com/, http://localhost:5173,',
    ALLOW_PRIVATE_TOOL_HOSTS: 'Tools.railway.internal:8080, 10.0.0.0/8',
    WEBHOOK_SECRET,
    SCHEDULES: ' on ',
    REDIS_URL: ' rediss://:secret@redis.railway.internal:6379/1 ',
    MAX_CONCURRENT_RUNS: '0',
    MAX_RUNS_PER_USER: '2',
    MAX_QUEUED_RUNS: '0',
    RATE_LIMIT_MAX: '4',
    RATE_LIMIT_WINDOW: '5',
    BODY_LIMIT: '6',
    RATE_LIMIT_BYTES: '7',
    MAX_CONNECTIONS_PER_USER: '8',
    REQUEST_SECONDS: '9.5',
    MAX_RUN_SECONDS: '10.5',
    DRAIN_SECONDS: '0',
    SSE_MAX_SECONDS: '0.5',
    FIRST_OUTPUT_SECONDS: '2.5',
    STREAM_FLUSH_MS: '40',
    AI_FALLBACK_MODELS: ' a/model, b/model ,',
    KEEP_MESSAGES: 'true',
    RUN_RETENTION_DAYS: '7',
    PYTHON_BIN: ' /venv/bin/python ',
    PYTHON_MEMORY_MB: '1024',
    PYTHON_MAX_PROCESSES: '16',
    PYTHON_WORKERS: '3',
    PATH: '/bin'
  })
  t.strictSame(config, {
    webConcurrency: 1,
    supabaseAnonKey: 'sb_publishable_key',
    console: true,
    port: 8080,
    host: '127.0.0.1',
    production: true,
    logLevel: 'warn',
    database: { kind: 'supabase', url: 'https://project.supabase.co', serviceRoleKey: 'service-key' },
    redis: { url: 'rediss://:secret@redis.railway.internal:6379/1', ca: undefined },
    gateway: { kind: 'remote', url: 'http://localhost:11434/v1', key: 'gateway-key' },
    model: 'llama3',
    modelIsChosen: true,
    supabaseUrl: 'https://project.supabase.co',
    jwtSecret: JWT_SECRET,
    previousJwtSecret: 'the-old-jwt-secret-of-more-than-32-characters',
    backendSecret: BACKEND_SECRET,
    previousBackendSecret: 'the-old-backend-secret-of-more-than-32-characters',
    metricsToken: BACKEND_SECRET,
    commit: 'abcdef0123456789',
    traces: undefined,
    corsOrigins: ['https://app.example.com', 'http://localhost:5173'],
    privateToolHosts: [{ host: 'tools.railway.internal', port: 8080 }, { host: '10.0.0.0', bits: 8, port: undefined }],
    webhookSecret: WEBHOOK_SECRET,
    schedules: 'service',
    maxConcurrentRuns: 0,
    maxRunsPerUser: 2,
    maxQueuedRuns: 0,
    rateLimitMax: 4,
    rateLimitWindow: 5,
    rateLimitBytes: 7,
    bodyLimit: 6,
    maxConnectionsPerUser: 8,
    requestSeconds: 9.5,
    maxRunSeconds: 10.5,
    drainSeconds: 0,
    sseMaxSeconds: 0.5,
    firstOutputSeconds: 2.5,
    streamFlushMs: 40,
    fallbackModels: ['a/model', 'b/model'],
    keepMessages: true,
    runRetentionDays: 7,
    warnings: ['RATE_LIMIT_WINDOW is 5 milliseconds: if seconds are meant, write 5000'],
    python: { command: '/venv/bin/python', isChosen: true, memoryMb: 1024, maxProcesses: 16, workers: 3, searchPath: '/bin' }
  })
  t.strictSame(parseConfig({ CORS_ORIGINS: '*' }).corsOrigins, ['*'])
})

t.test('SUPABASE_DB_URL wins over SUPABASE_URL, and that over the embedded database', async t => {
  t.strictSame(parseConfig({ ...SUPABASE, ...POSTGRES }).database, { kind: 'postgres', url: POSTGRES.SUPABASE_DB_URL, maxConnections: 20, ca: undefined })
  t.equal(parseConfig({ ...SUPABASE, ...POSTGRES }).supabaseUrl, SUPABASE.SUPABASE_URL, 'whose keys check tokens all the same')
  t.match(parseConfig({ ...POSTGRES, SUPABASE_DB_POOL_MAX: '3' }).database, { maxConnections: 3 })
  t.equal(parseConfig({ ...POSTGRES, SUPABASE_DB_URL: 'postgresql://host/db' }).database.kind, 'postgres')
  t.equal(parseConfig({ ...SUPABASE, EMBEDDED: 'true' }).database.kind, 'supabase')
  t.strictSame(parseConfig({ ...SUPABASE, SUPABASE_URL: 'http://localhost:54321//' }).database,
    { kind: 'supabase', url: 'http://localhost:54321', serviceRoleKey: 'service-key' })
  t.strictSame(parseConfig({ NODE_ENV: 'production', EMBEDDED: 'true', DATA_DIR: '/data' }).database, { kind: 'embedded', dataDir: '/data', hasDemo: false }, 'and in production that has no demo')
})

t.test('the database\'s CA certificate is given as text, with or without its line breaks, or as a file', async t => {
  const path = fileURLToPath(new URL('../support/fixtures/ca.pem', import.meta.url))
  const pem = (await readFile(path, 'utf8')).trim()
  const caOf = (value: string) => (parseConfig({ ...POSTGRES, SUPABASE_DB_CA: value }).database as { ca?: string }).ca
  t.equal(caOf(pem), pem)
  t.equal(caOf(pem.replaceAll('\n', '\\n')), pem)
  t.equal(caOf(path)!.trim(), pem)
})

t.test('the gateway is the one at AI_GATEWAY_URL, else Lovable\'s by its key, else the demo model', async t => {
  t.strictSame(parseConfig({ AI_GATEWAY_URL: 'https://ai.example.com/v1' }).gateway, { kind: 'remote', url: 'https://ai.example.com/v1', key: undefined })
  for (const url of ['https://ai.example.com/v1/chat/completions', 'https://ai.example.com/v1/chat/completions/', 'https://ai.example.com/v1//Chat/Completions']) {
    t.strictSame(parseConfig({ AI_GATEWAY_URL: url }).gateway, { kind: 'remote', url: 'https://ai.example.com/v1', key: undefined, isCut: true }, 'the path of completions is taken off')
  }
  t.strictSame(parseConfig({ LOVABLE_API_KEY: 'k' }).gateway, { kind: 'remote', url: DEFAULT_GATEWAY_URL, key: 'k' })
  t.strictSame(parseConfig({ AI_MODEL: 'm' }).gateway, { kind: 'demo' })
  t.strictSame(parseConfig({ ...POSTGRES, LOVABLE_API_KEY: '', AI_GATEWAY_URL: 'demo' }).gateway, { kind: 'demo' }, 'beside a database of one\'s own for who asks for it')
})

t.test('private hosts of tools are names, addresses or ranges, each on one port or on all', async t => {
  const read = (list: string) => parseConfig({ ALLOW_PRIVATE_TOOL_HOSTS: list }).privateToolHosts
  t.match(read('localhost, db_1.internal:80 ,127.0.0.1,127.0.0.1:8080'), [
    { host: 'localhost', port: undefined }, { host: 'db_1.internal', port: 80 }, { host: '127.0.0.1', port: undefined }, { host: '127.0.0.1', port: 8080 }
  ])
  t.match(read('10.0.0.0/8:443,fd00::1,[fd00::1]:80,fd00::/8,[fd00::/8]:443'), [
    { host: '10.0.0.0', bits: 8, port: 443 },
    { host: 'fd00::1', bits: undefined, port: undefined },
    { host: 'fd00::1', bits: undefined, port: 80 },
    { host: 'fd00::', bits: 8, port: undefined },
    { host: 'fd00::', bits: 8, port: 443 }
  ])
  for (const bad of ['http://a', 'a/b', 'a b', '*', '*.internal', 'a:0', 'a:65536', 'a:b', '10.0.0.0/33', '10.0.0/8', '10.1', '2130706433', '0x7f.1', '[a]', '[10.0.0.1]', 'fd00::/129', '-a', 'a-']) {
    t.match(problemsOf({ ALLOW_PRIVATE_TOOL_HOSTS: bad }), [/^ALLOW_PRIVATE_TOOL_HOSTS must be/], bad)
  }
})

t.test('each rule names its variable in one readable line', async t => {
  const cases: Array<[Record<string, string>, string, RegExp]> = [
    [{ PORT: 'abc' }, 'PORT', /integer/],
    [{ PORT: '3000.5' }, 'PORT', /integer/],
    [{ PORT: '-1' }, 'PORT', />= 0/],
    [{ PORT: '65536' }, 'PORT', /<= 65535/],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL', /one of trace, debug, info, warn, error, fatal, silent$/],
    [{ EMBEDDED: 'perhaps' }, 'EMBEDDED', /boolean/],
    [{ MAX_CONCURRENT_RUNS: '-1' }, 'MAX_CONCURRENT_RUNS', />= 0/],
    [{ REDIS_URL: 'localhost:6379' }, 'REDIS_URL', /redis:\/\/ or rediss:\/\//],
    [{ REDIS_URL: 'redis://localhost/users' }, 'REDIS_URL', /number of a database/],
    [{ MAX_RUNS_PER_USER: '0' }, 'MAX_RUNS_PER_USER', />= 1/],
    [{ MAX_QUEUED_RUNS: '-1' }, 'MAX_QUEUED_RUNS', />= 0/],
    [{ RATE_LIMIT_MAX: '0' }, 'RATE_LIMIT_MAX', />= 1/],
    [{ RATE_LIMIT_WINDOW: '0' }, 'RATE_LIMIT_WINDOW', />= 1/],
    [{ BODY_LIMIT: '10mb' }, 'BODY_LIMIT', /integer/],
    [{ DRAIN_SECONDS: '-0.1' }, 'DRAIN_SECONDS', />= 0/],
    [{ DRAIN_SECONDS: 'Infinity' }, 'DRAIN_SECONDS', /number/],
    [{ PYTHON_MEMORY_MB: '127' }, 'PYTHON_MEMORY_MB', />= 128/],
    [{ PYTHON_MEMORY_MB: 'much' }, 'PYTHON_MEMORY_MB', /integer/],
    [{ PYTHON_MAX_PROCESSES: '0' }, 'PYTHON_MAX_PROCESSES', />= 1/],
    [{ PYTHON_WORKERS: '0' }, 'PYTHON_WORKERS', />= 1/],
    [{ SSE_MAX_SECONDS: '0' }, 'SSE_MAX_SECONDS', /> 0/],
    [{ FIRST_OUTPUT_SECONDS: '-1' }, 'FIRST_OUTPUT_SECONDS', />= 0/],
    [{ STREAM_FLUSH_MS: '-1' }, 'STREAM_FLUSH_MS', />= 0/],
    [{ STREAM_FLUSH_MS: '1001' }, 'STREAM_FLUSH_MS', /<= 1000/],
    [{ STREAM_FLUSH_MS: 'soon' }, 'STREAM_FLUSH_MS', /integer/],
    [{ ...POSTGRES, SUPABASE_DB_URL: 'mysql://host/db' }, 'SUPABASE_DB_URL', /postgres:\/\/ or postgresql:\/\//],
    [{ ...POSTGRES, SUPABASE_DB_POOL_MAX: '0' }, 'SUPABASE_DB_POOL_MAX', />= 1/],
    [{ ...POSTGRES, SUPABASE_DB_POOL_MAX: '2.5' }, 'SUPABASE_DB_POOL_MAX', /integer/],
    [{ ...POSTGRES, SUPABASE_DB_CA: '/no/such/file.pem' }, 'SUPABASE_DB_CA', /names a file that cannot be read \(ENOENT\)$/],
    [{ ...POSTGRES, SUPABASE_DB_CA: fileURLToPath(import.meta.url) }, 'SUPABASE_DB_CA', /CA certificate in PEM/],
    [{ ...POSTGRES, SUPABASE_DB_CA: '-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----' }, 'SUPABASE_DB_CA', /CA certificate in PEM/],
    [{ ...SUPABASE, SUPABASE_URL: 'project.supabase.co' }, 'SUPABASE_URL', /http:\/\/ or https:\/\//],
    [{ AI_GATEWAY_URL: 'demo', NODE_ENV: 'production', EMBEDDED: 'true' }, 'AI_GATEWAY_URL', /is demo: .+ not for production/],
    [{ AI_GATEWAY_URL: 'localhost:11434' }, 'AI_GATEWAY_URL', /http:\/\/ or https:\/\//],
    [{ ...SUPABASE, SUPABASE_SERVICE_ROLE_KEY: '' }, 'SUPABASE_SERVICE_ROLE_KEY', /missing/],
    [{ ...SUPABASE, LOVABLE_API_KEY: '' }, 'LOVABLE_API_KEY', /missing: .*AI_GATEWAY_URL/],
    [{ ...SUPABASE, LOVABLE_API_KEY: 'key\r\nx-other: 1' }, 'LOVABLE_API_KEY', /one line of ASCII/],
    [{ ...SUPABASE, LOVABLE_API_KEY: 'k\u0435y' }, 'LOVABLE_API_KEY', /one line of ASCII/],
    [{ ...SUPABASE, SUPABASE_SERVICE_ROLE_KEY: 'eyJhbGci\n  OiJIUzI1NiJ9' }, 'SUPABASE_SERVICE_ROLE_KEY', /one line of ASCII/],
    [{ ...SUPABASE, RAILWAY_BACKEND_SECRET: 'half\nhalf' }, 'RAILWAY_BACKEND_SECRET', /one line/],
    [{ METRICS_TOKEN: 'half\nhalf' }, 'METRICS_TOKEN', /one line/],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' }, 'OTEL_EXPORTER_OTLP_ENDPOINT', /write http:\/\/localhost:4318/],
    [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://me:secret@otel.example.com/x' }, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', /no user name or password in it: send them by/],
    [{ ...TRACED, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'OTEL_EXPORTER_OTLP_PROTOCOL', /must be http\/json, or not set/],
    [{ ...TRACED, OTEL_EXPORTER_OTLP_HEADERS: 'secret' }, 'OTEL_EXPORTER_OTLP_HEADERS', /pairs of name=value, separated by commas, 64 at the most; a comma in a value is %2C$/],
    [{ ...TRACED, OTEL_EXPORTER_OTLP_HEADERS: 'x-key=%E0' }, 'OTEL_EXPORTER_OTLP_HEADERS', /pairs of name=value/],
    [{ ...TRACED, OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a%0D%0Ab' }, 'OTEL_EXPORTER_OTLP_HEADERS', /a header that cannot be sent: .+$/],
    [{ ...TRACED, OTEL_EXPORTER_OTLP_HEADERS: 'Content-Type=text/plain' }, 'OTEL_EXPORTER_OTLP_HEADERS', /must not have content-type/],
    [{ ...TRACED, OTEL_RESOURCE_ATTRIBUTES: 'staging' }, 'OTEL_RESOURCE_ATTRIBUTES', /pairs of name=value/],
    [{ ...TRACED, OTEL_EXPORTER_OTLP_TIMEOUT: '10s' }, 'OTEL_EXPORTER_OTLP_TIMEOUT', /integer/],
    [{ ...TRACED, OTEL_TRACES_SAMPLER: 'some' }, 'OTEL_TRACES_SAMPLER', /must be one of always_on, always_off, traceidratio, /],
    [{ ...TRACED, OTEL_TRACES_SAMPLER_ARG: '1.5' }, 'OTEL_TRACES_SAMPLER_ARG', /<= 1/],
    [{ ...TRACED, OTEL_CAPTURE_CONTENT: 'maybe' }, 'OTEL_CAPTURE_CONTENT', /true or false/],
    [{ ...SUPABASE, SUPABASE_JWT_SECRET: 'half\r\nhalf' }, 'SUPABASE_JWT_SECRET', /one line/],
    [{ AI_GATEWAY_URL: 'https://ai.example.com/v1?key=x' }, 'AI_GATEWAY_URL', /no \? and no #/],
    [{ ...SUPABASE, LOVABLE_API_KEY: '', AI_GATEWAY_URL: 'https://ai.example.com/#/v1' }, 'AI_GATEWAY_URL', /no \? and no #/],
    [{ ...POSTGRES, SUPABASE_JWT_SECRET: '' }, 'SUPABASE_JWT_SECRET', /missing: .*SUPABASE_URL/],
    [{ ...SUPABASE, SUPABASE_JWT_SECRET_PREVIOUS: 'old' }, 'SUPABASE_JWT_SECRET_PREVIOUS', /without SUPABASE_JWT_SECRET: set that to the new secret/],
    [{ ...SUPABASE, RAILWAY_BACKEND_SECRET_PREVIOUS: 'old' }, 'RAILWAY_BACKEND_SECRET_PREVIOUS', /without RAILWAY_BACKEND_SECRET/],
    [{ ...SUPABASE, NODE_ENV: 'production' }, 'RAILWAY_BACKEND_SECRET', /missing: .*edge function/],
    [{ NODE_ENV: 'production' }, 'SUPABASE_URL', /missing: .*SUPABASE_DB_URL.*EMBEDDED=true/],
    [{ NODE_ENV: 'production', EMBEDDED: 'false' }, 'SUPABASE_URL', /missing/],
    [{ CORS_ORIGINS: 'https://ok.example.com,app.example.com' }, 'CORS_ORIGINS', /"app\.example\.com"/],
    [{ CORS_ORIGINS: 'https://app.example.com/path' }, 'CORS_ORIGINS', /origins/],
    [{ ALLOW_PRIVATE_TOOL_HOSTS: 'ok.internal, http://tools' }, 'ALLOW_PRIVATE_TOOL_HOSTS', /"http:\/\/tools"/],
    [{ WEBHOOK_SECRET: Buffer.alloc(24).toString('base64') }, 'WEBHOOK_SECRET', /whsec_ and 24 to 64 bytes/],
    [{ WEBHOOK_SECRET: 'whsec_c2hvcnQ=' }, 'WEBHOOK_SECRET', /whsec_ and 24 to 64 bytes/]
  ]
  for (const [variables, name, rule] of cases) {
    const problems = problemsOf(variables)
    t.match(problems, [rule], JSON.stringify(variables))
    t.same(problems.map(problem => problem.split(' ')[0]), [name])
    t.notMatch(problems.join(), '\n')
  }
})

t.test('where spans go is read from the variables of OpenTelemetry, and only if a collector is named', async t => {
  t.strictSame(parseConfig({
    ...TRACED,
    OTEL_EXPORTER_OTLP_HEADERS: ' authorization=Bearer%20a%2Cb , x-team=one=1,',
    OTEL_EXPORTER_OTLP_TIMEOUT: '500',
    OTEL_SERVICE_NAME: 'agents',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=staging,service.name=other',
    OTEL_TRACES_SAMPLER: 'TraceIdRatio',
    OTEL_TRACES_SAMPLER_ARG: '0.25',
    OTEL_CAPTURE_CONTENT: 'yes'
  }).traces, {
    url: 'http://localhost:4318/otel/v1/traces',
    headers: { authorization: 'Bearer a,b', 'x-team': 'one=1' },
    timeoutMs: 500,
    resource: { 'service.name': 'agents', 'deployment.environment.name': 'staging' },
    sampler: 'traceidratio',
    ratio: 0.25,
    hasContent: true
  })
  t.match(parseConfig(TRACED).traces, { resource: { 'service.name': 'jeesi-railway-backend' }, sampler: 'parentbased_always_on', timeoutMs: 10_000, hasContent: false })
  t.equal(parseConfig({ ...TRACED, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://otel.example.com/in?k=1' }).traces!.url, 'https://otel.example.com/in?k=1', 'as it is')
  t.equal(parseConfig({ ...TRACED, OTEL_SDK_DISABLED: 'true' }).traces, undefined)
  t.equal(parseConfig({ OTEL_EXPORTER_OTLP_HEADERS: 'nonsense', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }).traces, undefined, 'what other programs are told is left alone')
})

t.test('what is no commit is left out', async t => {
  for (const text of ['main', '12345', 'abcdef0 and more', '']) t.equal(parseConfig({ RAILWAY_GIT_COMMIT_SHA: text }).commit, undefined, text)
})

t.test('an address that is not chosen is every address, except in embedded mode', async t => {
  t.equal(parseConfig(SUPABASE).host, '::')
  t.equal(parseConfig(POSTGRES).host, '::')
  t.equal(parseConfig({}).host, 'localhost')
  t.equal(parseConfig({ HOST: '::' }).host, '::', 'which an operator may want all the same')
})

t.test('in production', async t => {
  const production = { ...SUPABASE, NODE_ENV: 'production', RAILWAY_BACKEND_SECRET: BACKEND_SECRET }
  const guessable: Array<[string, RegExp]> = [
    ['…', /is a placeholder/],
    ['changeme', /is a placeholder/],
    ['change-me-change-me-change-me-change-me', /is a placeholder/],
    ['your-backend-secret-of-32-characters-or-more', /is a placeholder/],
    ['<the secret of the backend, 32 characters>', /is a placeholder/],
    ['super-secret-jwt-token-with-at-least-32-characters-long', /is a placeholder/],
    [BACKEND_SECRET.slice(0, 31), /has fewer than 32 characters/],
    ['x'.repeat(64), /repeats itself/],
    ['abcdefgh'.repeat(8), /repeats itself/],
    ['0123456789'.repeat(4).slice(0, 37), /repeats itself/],
    ['0110'.repeat(9) + '1', /repeats itself/]
  ]

  t.test('a secret that can be guessed is refused, in a line that says how to make one and not what it is', async t => {
    for (const [value, fault] of guessable) {
      for (const name of ['METRICS_TOKEN', 'RAILWAY_BACKEND_SECRET', 'SUPABASE_JWT_SECRET']) {
        const [problem, ...others] = problemsOf({ ...production, [name]: value })
        t.same(others, [])
        t.match(problem, fault, value)
        t.ok(problem!.startsWith(`${name} `))
        t.match(problem, /openssl rand -hex 32.+node -p "crypto\.randomBytes\(32\)/)
        t.notOk(problem!.includes(value))
      }
      t.match(problemsOf({ ...production, RAILWAY_BACKEND_SECRET_PREVIOUS: value }), [/^RAILWAY_BACKEND_SECRET_PREVIOUS .*: remove it as soon as nobody has it any more$/], 'nor is it one that may still be there')
      t.same(problemsOf({ ...SUPABASE, RAILWAY_BACKEND_SECRET: value }), [], 'elsewhere it is good enough')
    }
    t.match(problemsOf({ ...production, WEBHOOK_SECRET: `whsec_${Buffer.alloc(24, 'x').toString('base64')}` }), [/^WEBHOOK_SECRET repeats itself .+ whsec_\$\(openssl/])
    t.match(problemsOf({ NODE_ENV: 'production', EMBEDDED: 'true', SUPABASE_JWT_SECRET: 'short' }), [/^SUPABASE_JWT_SECRET has fewer/], 'on every database')
  })

  t.test('a key of somebody else has the length that they gave it, and is no placeholder', async t => {
    t.same(problemsOf({ ...production, SUPABASE_SERVICE_ROLE_KEY: 'sb_secret_N7UND0Ug', LOVABLE_API_KEY: 'sk-1' }), [])
    for (const name of ['SUPABASE_SERVICE_ROLE_KEY', 'LOVABLE_API_KEY']) t.match(problemsOf({ ...production, [name]: 'your-key' }), [new RegExp(`^${name} is a placeholder`)])
  })

  t.test('every secret that is made as the line says is taken, and so is the legacy secret of a Supabase project', async t => {
    for (let i = 0; i < 300; i++) {
      const secret = randomBytes(32).toString((['hex', 'base64', 'base64url'] as const)[i % 3])
      t.same(problemsOf({ ...production, RAILWAY_BACKEND_SECRET: secret, SUPABASE_JWT_SECRET: randomBytes(64).toString('base64') }), []) || t.comment(secret)
    }
  })
})

t.test('all that is wrong is told at once, and no value of a secret with it', async t => {
  const secrets = {
    SUPABASE_DB_URL: 'mysql://user:db-password@host/db',
    SUPABASE_SERVICE_ROLE_KEY: 'service-key',
    SUPABASE_JWT_SECRET: 'jwt-secret',
    LOVABLE_API_KEY: 'gateway-key',
    SUPABASE_URL: 'ftp://user:url-password@host',
    AI_GATEWAY_URL: 'ftp://user:gateway-password@host'
  }
  const problems = problemsOf({ ...secrets, NODE_ENV: 'production', PORT: 'x', LOG_LEVEL: 'x', BODY_LIMIT: '0', CORS_ORIGINS: 'x' })
  t.same(problems.map(problem => problem.split(' ')[0]).sort(), [
    'AI_GATEWAY_URL', 'BODY_LIMIT', 'CORS_ORIGINS', 'LOG_LEVEL', 'PORT', 'RAILWAY_BACKEND_SECRET', 'SUPABASE_DB_URL',
    'SUPABASE_JWT_SECRET', 'SUPABASE_URL'
  ])
  t.notMatch(problems.join('\n'), /password|service-key|jwt-secret|gateway-key/)
  t.equal(new ConfigError(['one', 'two']).message, 'one\ntwo')
})

t.test('.env.example has every variable of the service and no other, each explained', async t => {
  const known = Object.keys(Environment.properties)
  t.ok(known.includes('PORT') && known.includes('SSE_MAX_SECONDS'))
  const names = await namesInExample()
  t.same(names.toSorted(), known.toSorted())
  const lines = (await readFile(EXAMPLE, 'utf8')).split('\n')
  for (const name of names) {
    const place = lines.findIndex(line => VARIABLE.exec(line)?.[1] === name)
    t.match(lines[place - 1], /^# (?!-|[A-Z_]+=).{10,}/, `${name} is explained`)
  }
  t.doesNotThrow(() => parseConfig(Object.fromEntries(lines.flatMap(line => {
    const [, name, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? []
    return name ? [[name, value]] : []
  }))), 'and can be copied to .env as it is')
})

t.test('loadConfig reads .env in the working directory, and the environment wins', async t => {
  const root = t.testdir({ file: { '.env': 'PORT=4001\nAI_MODEL="from file"\n# HOST=no\nUNKNOWN=x\n' }, directory: { '.env': {} } })
  const source = `import { loadConfig } from ${JSON.stringify(new URL('../../src/config/config.ts', import.meta.url).href)}
    process.stdout.write(JSON.stringify(loadConfig()))`
  const load = async (env: Record<string, string>, folder = 'file'): Promise<Config> => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', source],
      { cwd: join(root, folder), env: { PATH: process.env.PATH, ...env } })
    return JSON.parse(stdout)
  }
  t.match(await load({}, 'directory'), { port: 3000 }, 'a directory of that name is another thing')
  t.match(await load({}), { port: 4001, model: 'from file', host: 'localhost' })
  t.match(await load({ PORT: '4002', HOST: '127.0.0.1' }), { port: 4002, model: 'from file', host: '127.0.0.1' })
})

async function namesInExample (): Promise<string[]> {
  const lines = (await readFile(EXAMPLE, 'utf8')).split('\n')
  return lines.flatMap(line => VARIABLE.exec(line)?.[1] ?? [])
}

function problemsOf (variables: Record<string, string>): string[] {
  try {
    parseConfig(variables)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('schedules are the platform\'s beside a project, and the service\'s otherwise, unless SCHEDULES says more', async t => {
  const of = (variables: Record<string, string>) => parseConfig(variables).schedules
  t.equal(of({}), 'service')
  t.equal(of({ SCHEDULES: 'off' }), 'off')
  for (const project of [SUPABASE, POSTGRES]) {
    t.equal(of(project), 'platform')
    t.equal(of({ ...project, SCHEDULES: 'off' }), 'platform')
    t.equal(of({ ...project, SCHEDULES: 'on' }), 'service')
  }
  t.throws(() => of({ SCHEDULES: 'yes' }), { message: 'SCHEDULES must be one of on, off' })
})

t.test('the console is off in production unless it is asked for, and shows no key that may do more than pages may', async t => {
  t.equal(parseConfig({ NODE_ENV: 'production', EMBEDDED: 'true' }).console, false)
  t.equal(parseConfig({ NODE_ENV: 'production', EMBEDDED: 'true', CONSOLE: 'true' }).console, true)
  t.equal(parseConfig({ CONSOLE: 'false' }).console, false)
  const keyOf = (role: string) => ['{"alg":"HS256"}', `{"role":"${role}"}`, 'signature'].map(part => Buffer.from(part).toString('base64url')).join('.')
  for (const key of ['sb_secret_key', 'sbp_token', keyOf('service_role')]) {
    const problems = problemsOf({ SUPABASE_ANON_KEY: key })
    t.match(problems, [/^SUPABASE_ANON_KEY is .* pages show it to everybody/])
    t.notMatch(problems.join(), key, 'the key is not repeated')
  }
  for (const key of ['sb_publishable_key', keyOf('anon')]) t.equal(parseConfig({ SUPABASE_ANON_KEY: key }).supabaseAnonKey, key)
})
