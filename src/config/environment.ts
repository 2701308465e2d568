import { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox'
import { SAMPLERS } from '#shared/traces/sampler.ts'

/** What reads a variable: the service, the edge function, the tests, or Railway. */
export type Reader = 'service' | 'edge function' | 'tests' | 'Railway'

/** The sections of .env.example and of docs/reference/environment.md, in their order. */
export const GROUPS = {
  process: 'Process',
  database: 'Where users, agents and credits live: SUPABASE_DB_URL wins, else SUPABASE_URL, else embedded',
  gateway: 'The AI gateway',
  python: 'Agents and functions in Python',
  callers: 'Callers',
  tools: 'Tools and webhooks of agents',
  traces: 'Traces',
  limits: 'Limits',
  retention: 'What is kept',
  time: 'Time',
  edge: 'The edge function',
  tests: 'Tests'
} as const

export interface Variable {
  readonly group: keyof typeof GROUPS
  readonly readBy: readonly Reader[]
  /** The type, the limits and the default of the value. */
  readonly schema: TSchema
  /** One line of explanation. */
  readonly text: string
}

const TEXT = Type.Optional(Type.String())

/**
 * Every variable of the environment. The types of the service's variables, .env.example and docs/reference/environment.md
 * are made from this table (`npm run docs`).
 */
export const VARIABLES = {
  PORT: both('process', Type.Integer({ minimum: 0, maximum: 65535, default: 3000 }),
    'Port to listen on; Railway sets it itself. The edge function reads it only outside of Supabase.'),
  HOST: service('process', TEXT,
    'Address to listen on. By default `::`, every address of IPv6 and IPv4, which Railway\'s private network needs; in embedded mode `localhost`, the loopback addresses of both.'),
  WEB_CONCURRENCY: service('process', Type.Integer({ minimum: 1, maximum: 64, default: 1 }),
    'Processes that share the port, for a machine of several cores; above 1 it needs REDIS_URL. Each has its share of MAX_CONCURRENT_RUNS, SUPABASE_DB_POOL_MAX, PYTHON_WORKERS and the memory.'),
  NODE_ENV: service('process', Type.String({ default: 'development' }),
    '`production` on Railway: the service then refuses to start on the embedded database unless EMBEDDED=true.'),
  LOG_LEVEL: service('process', Type.Union(
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map(level => Type.Literal(level)), { default: 'info' }),
  'The least severe level to log: trace, debug, info, warn, error, fatal or silent.'),

  METRICS_TOKEN: service('process', TEXT,
    'The bearer token with which /metrics is read from outside (openssl rand -hex 32); from this machine and Railway\'s private network none is needed. Without it nobody else reads them.'),
  RAILWAY_GIT_COMMIT_SHA: variable('process', ['service', 'Railway'], TEXT,
    'The commit that runs, for /health, the log and the metrics; Railway sets it itself.'),

  SUPABASE_URL: both('database', TEXT,
    'Your project\'s URL, from its API settings; Supabase sets it for the edge function itself.'),
  SUPABASE_SERVICE_ROLE_KEY: both('database', TEXT,
    'The service role key, or a secret key (sb_secret_…), of the same project; Supabase sets it for the edge function itself.'),
  SUPABASE_JWT_SECRET: service('database', TEXT,
    'The legacy JWT secret, for tokens signed with HS256; tokens of ES256 and RS256 are checked with the project\'s published keys.'),
  SUPABASE_JWT_SECRET_PREVIOUS: service('database', TEXT,
    'The JWT secret before this one, while it is changed: tokens that it has signed are good still.'),
  SUPABASE_DB_URL: service('database', TEXT,
    'A Postgres connection instead of the REST interface, direct or through a pooler: postgres://…; port 6543 or ?pgbouncer=true is a transaction pooler.'),
  SUPABASE_DB_POOL_MAX: service('database', Type.Integer({ minimum: 1, default: 20 }),
    'Connections for users\' calls, which the processes of WEB_CONCURRENCY share. Each process opens one more to keep its runs alive; those of all processes must fit the server or pooler.'),
  SUPABASE_DB_CA: service('database', TEXT,
    'CA certificate of the database\'s server, as PEM text or a file\'s path; the server is then verified (sslmode=verify-full).'),
  REDIS_URL: service('database', TEXT,
    'Joins any number of processes beside one database: redis://… or rediss://…, on Railway its private address; each project needs its own database number (/1).'),
  REDIS_CA: service('database', TEXT,
    'CA certificate of the Redis server, as PEM text or a file\'s path, if no public CA has signed its certificate.'),
  EMBEDDED: service('database', Type.Boolean({ default: false }),
    'Allows the embedded database in production.'),
  SCHEDULES: service('database', Type.Optional(Type.Union([Type.Literal('on'), Type.Literal('off')])),
    'Whether this process fires agents\' schedules: on or off. By default on only if embedded, since a Supabase project has a runner of its own; all processes beside one database get the same.'),
  DATA_DIR: service('database', Type.String({ default: '.data' }),
    'Where the embedded mode keeps its database and its JWT secret.'),

  LOVABLE_API_KEY: both('gateway', TEXT,
    'Key of the AI gateway, sent as Authorization: Bearer; without AI_GATEWAY_URL the gateway is Lovable\'s.'),
  AI_GATEWAY_URL: both('gateway', TEXT,
    'Base URL of any OpenAI-compatible gateway, e.g. http://localhost:11434/v1 for Ollama; without ? and #, and /chat/completions at its end is left off. `demo` in the service, outside of production: the built-in model of the embedded mode.'),
  AI_MODEL: both('gateway', TEXT,
    'Model of agents that name none; by default google/gemini-2.5-flash, or in the service the first chat model of a gateway that lacks it.'),
  AI_FALLBACK_MODELS: service('gateway', TEXT,
    'Models to try, in turn and separated by commas, when an agent\'s own model keeps failing.'),

  PYTHON_BIN: service('python', TEXT,
    'The interpreter, 3.9 or newer, as a command or a path, e.g. of a virtual environment; by default python3, if there is one.'),
  PYTHON_MEMORY_MB: service('python', Type.Integer({ minimum: 128, maximum: 1_048_576, default: 512 }),
    'Memory in MiB of a Python worker with all processes that it starts, and the address space of each; an agent that needs more fails.'),
  PYTHON_MAX_PROCESSES: service('python', Type.Integer({ minimum: 1, maximum: 4096, default: 64 }),
    'Processes that a Python worker may be at once, with all that it starts; an agent that starts more fails.'),
  PYTHON_WORKERS: service('python', Type.Integer({ minimum: 1, maximum: 256, default: 2 }),
    'Python processes at once, each running one agent or function at a time; more wait. The processes of WEB_CONCURRENCY share them, and each has one at least.'),

  RAILWAY_BACKEND_SECRET: both('callers', TEXT,
    'The secret with which the edge function `agent-runtime` authenticates itself (openssl rand -hex 32); without it execute-validated answers 503.'),
  RAILWAY_BACKEND_SECRET_PREVIOUS: service('callers', TEXT,
    'The secret before this one, while it is changed: the edge function may have either.'),
  CONSOLE: service('callers', Type.Optional(Type.Boolean()),
    'Whether the console is served at /console: true or false. By default true, in production false.'),
  SUPABASE_ANON_KEY: service('callers', TEXT,
    'The anon key, or a publishable key (sb_publishable_…), of the project at SUPABASE_URL: with it users sign in to the console; pages show it to everybody.'),
  CORS_ORIGINS: service('callers', TEXT,
    'Origins that browsers may call from, separated by commas, or *; blank: only its own.'),

  ALLOW_PRIVATE_TOOL_HOSTS: both('tools', TEXT,
    'Hosts that agents\' tools may reach although they are not public: names, addresses or CIDRs, separated by commas, each with or without :port.'),
  WEBHOOK_SECRET: both('tools', TEXT,
    'Signs the webhooks whose function has no secret of its own, by Standard Webhooks (echo whsec_$(openssl rand -base64 32)).'),

  OTEL_EXPORTER_OTLP_ENDPOINT: both('traces', TEXT,
    'Base URL of a collector of OpenTelemetry, to whose /v1/traces spans are sent as OTLP over HTTP in JSON, e.g. http://localhost:4318; without it and the next nothing is traced.'),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: both('traces', TEXT,
    'The whole URL of a collector that takes traces at another path; it wins.'),
  OTEL_EXPORTER_OTLP_PROTOCOL: both('traces', TEXT,
    'http/json, or not set: that is how spans are sent.'),
  OTEL_EXPORTER_OTLP_HEADERS: both('traces', TEXT,
    'Headers of these requests, such as a key: name=value pairs, separated by commas; a comma in a value is %2C.'),
  OTEL_EXPORTER_OTLP_TIMEOUT: both('traces', Type.Integer({ minimum: 1, maximum: 60_000, default: 10_000 }),
    'Milliseconds within which the collector has to answer.'),
  OTEL_SERVICE_NAME: both('traces', TEXT,
    'What the service is called in traces; by default jeesi-railway-backend, and the edge function agent-runtime.'),
  OTEL_RESOURCE_ATTRIBUTES: both('traces', TEXT,
    'What all spans say of where they are from: name=value pairs, separated by commas, e.g. deployment.environment.name=staging.'),
  OTEL_TRACES_SAMPLER: both('traces', Type.Union(SAMPLERS.map(name => Type.Literal(name)), { default: 'parentbased_always_on' }),
    `Which traces are recorded: ${SAMPLERS.join(', ')}. By parent: as the caller says in its traceparent.`),
  OTEL_TRACES_SAMPLER_ARG: both('traces', Type.Number({ minimum: 0, maximum: 1, default: 1 }),
    'The share of traces that the samplers with traceidratio record, from 0 to 1.'),
  OTEL_SDK_DISABLED: both('traces', Type.Boolean({ default: false }),
    'true: nothing is traced, whatever the others say.'),
  OTEL_CAPTURE_CONTENT: both('traces', Type.Boolean({ default: false }),
    'true: spans carry what users, authors and models wrote, cut at a bound. Otherwise they carry no text.'),

  MAX_CONCURRENT_RUNS: service('limits', Type.Integer({ minimum: 0, default: 500 }),
    'Runs at once in this process, or in all those of WEB_CONCURRENCY together; more wait in a queue. 0: the process takes requests and leaves their runs to others (npm run worker).'),
  MAX_RUNS_PER_USER: service('limits', Type.Integer({ minimum: 1, default: 50 }),
    'Runs at once of one user, with Redis over all processes; more wait without delaying those of others.'),
  MAX_QUEUED_RUNS: service('limits', Type.Integer({ minimum: 0, default: 1000 }),
    'Runs that may wait, with Redis over all processes; beyond, users with a tenth of them or more get 503 with Retry-After.'),
  RATE_LIMIT_MAX: service('limits', Type.Integer({ minimum: 1, default: 1000 }),
    'Requests and WebSocket messages that a caller may send within RATE_LIMIT_WINDOW, with Redis to all processes together.'),
  RATE_LIMIT_WINDOW: service('limits', Type.Integer({ minimum: 1, default: 60_000 }),
    'Length of that window in milliseconds.'),
  BODY_LIMIT: service('limits', Type.Integer({ minimum: 1, default: 10 * 1024 * 1024 }),
    'Largest body or WebSocket message in bytes; images come as data URIs.'),
  RATE_LIMIT_BYTES: service('limits', Type.Integer({ minimum: 1, default: 100 * 1024 * 1024 }),
    'Bytes of bodies and WebSocket messages that a user may send within RATE_LIMIT_WINDOW, with Redis to all processes together; each value of JSON counts for 256 more.'),
  MAX_CONNECTIONS_PER_USER: service('limits', Type.Integer({ minimum: 1, default: 1000 }),
    'Event streams, waiting executions and WebSockets of one user, or of one API key, that may be open at this process, and at each of WEB_CONCURRENCY; beyond, callers get 429 with Retry-After.'),

  KEEP_MESSAGES: service('retention', Type.Boolean({ default: false }),
    'Keeps the messages of a run, and what its events quote of them, beyond its end; otherwise only the answers are kept.'),
  RUN_RETENTION_DAYS: service('retention', Type.Number({ exclusiveMinimum: 0, maximum: 36_500, default: 30 }),
    'Days after which answers are erased; runs and ledger stay.'),

  DRAIN_SECONDS: service('time', Type.Number({ minimum: 0, maximum: 86_400, default: 20 }),
    'Seconds that runs under way may take to end after SIGTERM, before another process continues them; set RAILWAY_DEPLOYMENT_DRAINING_SECONDS ten seconds longer.'),
  REQUEST_SECONDS: service('time', Type.Number({ exclusiveMinimum: 0, maximum: 3600, default: 120 }),
    'Seconds within which a request has to arrive, its body included; then it is answered with 408.'),
  SSE_MAX_SECONDS: service('time', Type.Number({ exclusiveMinimum: 0, maximum: 86_400, default: 840 }),
    'Seconds after which the service ends an SSE connection (not its run); Railway would cut it at 900.'),
  MAX_RUN_SECONDS: both('time', Type.Number({ exclusiveMinimum: 0, maximum: 31_536_000, default: 86_400 }),
    'Seconds that a run may last from its first start, takeovers included; one that lasts longer fails with run_timeout, and is charged what it has used.'),
  FIRST_OUTPUT_SECONDS: both('time', Type.Number({ minimum: 0, maximum: 240, default: 10 }),
    'Seconds for which the head of a stream waits for its first output, if the caller has not said which events it knows: a failure until then is an HTTP status.'),
  STREAM_FLUSH_MS: service('time', Type.Integer({ minimum: 0, maximum: 1000, default: 50 }),
    'Milliseconds for which a busy process may hold back text that follows closely in a model\'s answer, to send it with more; busy is from when it works for more than half of its time until it is less than a quarter. Text after a pause is never held back. 0: none is.'),
  RAILWAY_DEPLOYMENT_DRAINING_SECONDS: variable('time', ['Railway'], Type.Optional(Type.Number({ minimum: 0 })),
    'Seconds from SIGTERM until Railway kills the process: ten more than DRAIN_SECONDS.'),

  RAILWAY_BACKEND_URL: variable('edge', ['edge function'], TEXT,
    'URL of the service, for agents that run there; an agent\'s own `railway_url` wins.'),
  EDGE_MAX_SECONDS: variable('edge', ['edge function'], Type.Number({ exclusiveMinimum: 0, default: 140 }),
    'Seconds after which a request is handed over or ended; Supabase\'s free plan ends a function after 150.'),

  TEST_POSTGRES_URL: variable('tests', ['tests'], Type.String({ default: 'postgres://postgres@127.0.0.1:5432/postgres' }),
    'A PostgreSQL server on which the tests create databases, and drop them.'),
  REQUIRE_SERVICES: variable('tests', ['tests'], TEXT,
    'Set to anything: a test fails if it lacks a service or a program that it needs, instead of being left out.'),
  TEST_ALL: variable('tests', ['tests'], TEXT,
    '`1` tests all that takes long, as `npm run test:all` does: each version of each client, each shape of the chaos run.'),
  UPDATE_GOLDEN: variable('tests', ['tests'], TEXT,
    '`1`: recordings of streams are written anew instead of compared.')
} as const satisfies Record<string, Variable>

type Variables = typeof VARIABLES
type ServiceName = { [N in keyof Variables]: 'service' extends Variables[N]['readBy'][number] ? N : never }[keyof Variables]

/** The variables that the service reads. */
export const Environment = Type.Object(Object.fromEntries(
  Object.entries(VARIABLES)
    .filter(([, { readBy }]) => (readBy as readonly Reader[]).includes('service'))
    .map(([name, { schema }]) => [name, schema])
)) as unknown as TObject<{ [N in ServiceName]: Variables[N]['schema'] }>
export type Environment = Static<typeof Environment>

function variable<const R extends readonly Reader[], S extends TSchema> (group: Variable['group'], readBy: R, schema: S, text: string) {
  return { group, readBy, schema, text }
}

function service<S extends TSchema> (group: Variable['group'], schema: S, text: string) {
  return variable(group, ['service'], schema, text)
}

function both<S extends TSchema> (group: Variable['group'], schema: S, text: string) {
  return variable(group, ['service', 'edge function'], schema, text)
}
