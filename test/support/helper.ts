import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Run, RunEvent } from '#shared/schemas.ts'
import { buildApp } from '../../src/app.js'
import { signAccessToken } from '../../src/auth/access-token.js'
import { type Config, parseConfig } from '../../src/config/config.js'
import { createLogger } from '../../src/process/logger.js'
import { type GatewayDouble, startGateway } from './doubles/gateway.js'
import { createDataDir } from './pglite.js'
import { createPostgres, hasPostgres } from './postgres.js'
import { LOOK_MS } from './until.js'

export { createDataDir, createEmptyPGlite } from './pglite.js'
export { createPostgres, findPostgres, POSTGRES_URL } from './postgres.js'

export const DEMO_USER = '11111111-1111-4111-8111-111111111111'
export const OTHER_USER = '11111111-1111-4111-8111-222222222222'
export const DEMO_AGENT = '22222222-2222-4222-8222-222222222222'
export const PYTHON_AGENT = '33333333-3333-4333-8333-333333333333'
export const UNPUBLISHED_AGENT = '44444444-4444-4444-8444-444444444444'
export const DEMO_KEY = 'jeesi_demo_key_for_local_use_only'
export const JWT_SECRET = 'a-secret-that-is-only-for-these-tests'
export const BACKEND_SECRET = 'a-backend-secret-for-these-tests'

/** The header of a reader that knows all events, and of one that knows none beside those that live callers know. */
export const ALL_EVENTS = { 'x-stream-events': '*' }
export const PLAIN = { 'x-stream-events': '' }

/** What says which database a service has. */
const DATABASE_VARIABLES = ['SUPABASE_URL', 'SUPABASE_DB_URL', 'DATA_DIR']

/** The service as it runs, on a database and a gateway of its own. */
export interface Service {
  app: FastifyInstance
  url: string
  config: Config
  gateway: GatewayDouble
  /** Every line it has logged. */
  logs: string[]
  /** A request with JSON both ways; as the demo user unless the headers say otherwise. */
  request (method: string, path: string, options?: { body?: unknown, headers?: Record<string, string> }): Promise<Answer>
  /** Executes an agent and reads the whole stream, as a reader that knows all events unless the headers say otherwise. */
  execute (body?: object, headers?: Record<string, string>): Promise<Told>
  credits (userId?: string): Promise<{ creditsRemaining: number, creditsReserved: number, creditsUsedThisMonth: number }>
}

export interface Answer { status: number, headers: Headers, body: any }

/** A stream that was read to its end. */
export interface Told { status: number, headers: Headers, raw: string, events: Array<RunEvent & { seq: number }>, text: string }

/**
 * Starts the service on a free port, on a database of its own unless the variables name one: on PostgreSQL where that
 * runs, which begins in a fraction of the time, else on the embedded one. See `startEmbedded`.
 * @param variables environment variables beside those every test needs.
 * @param model its gateway, by its address or itself: runs that were left behind are taken up before a test could tell a new one what to say.
 */
export async function startService (t: Test, variables: Record<string, string> = {}, model?: string | GatewayDouble): Promise<Service> {
  const gateway = typeof model === 'object' ? model : await startGateway(t)
  const namesDatabase = DATABASE_VARIABLES.some(name => variables[name] !== undefined)
  const config = parseConfig({
    NODE_ENV: 'test',
    HOST: '127.0.0.1',
    PORT: '0',
    ...(namesDatabase ? {} : await createDatabase(t)),
    SUPABASE_JWT_SECRET: JWT_SECRET,
    RAILWAY_BACKEND_SECRET: BACKEND_SECRET,
    AI_GATEWAY_URL: typeof model === 'string' ? model : gateway.url,
    LOVABLE_API_KEY: 'test-gateway-key',
    DRAIN_SECONDS: '0',
    ...variables
  })
  const logs: string[] = []
  const logger = createLogger('info', new Writable({
    write (line, _encoding, done) {
      logs.push(String(line))
      done()
    }
  }))
  const app = await buildApp(config, logger)
  t.teardown(() => app.close())
  await app.listen({ host: config.host, port: config.port })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const service: Service = {
    app,
    url,
    config,
    gateway,
    logs,
    async request (method, path, { body, headers = {} } = {}) {
      const response = await fetch(url + path, {
        method,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...await authorize(headers) },
        body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
      })
      const text = await response.text()
      const isJson = response.headers.get('content-type')?.includes('json')
      return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text }
    },
    async execute (body = {}, headers = {}) {
      const response = await fetch(`${url}/api/agent/execute`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...ALL_EVENTS, ...await authorize(headers) },
        body: JSON.stringify({ agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], ...body })
      })
      return readStream(response)
    },
    async credits (userId = DEMO_USER) {
      return (await service.request('GET', '/api/credits', { headers: await bearer(userId) })).body
    }
  }
  return service
}

/** The same on an embedded database, for what there is in that mode alone. */
export async function startEmbedded (t: Test, variables: Record<string, string> = {}, model?: string | GatewayDouble): Promise<Service> {
  return startService(t, { DATA_DIR: await createDataDir(t), ...variables }, model)
}

async function createDatabase (t: Test): Promise<Record<string, string>> {
  return await hasPostgres() ? { SUPABASE_DB_URL: await createPostgres(t) } : { DATA_DIR: await createDataDir(t) }
}

/** Headers of a user's access token. */
export async function bearer (userId = DEMO_USER): Promise<Record<string, string>> {
  return { authorization: `Bearer ${await signAccessToken(JWT_SECRET, userId)}` }
}

async function authorize (headers: Record<string, string>): Promise<Record<string, string>> {
  const given = ['authorization', 'x-api-key', 'x-railway-secret', 'anonymous'].some(name => name in headers)
  const { anonymous, ...rest } = headers
  return given ? rest : { ...await bearer(), ...rest }
}

/** Reads an event stream to its end, as live callers do: by its `data: ` lines. */
export async function readStream (response: Response): Promise<Told> {
  const raw = await response.text()
  const events = parseStream(raw)
  return { status: response.status, headers: response.headers, raw, events, text: textOf(events) }
}

export function parseStream (raw: string): Array<RunEvent & { seq: number }> {
  return raw.split('\n\n').flatMap(frame => {
    const data = /^data: (\{[^\n]*)/m.exec(frame)?.[1]
    if (!data) return []
    return [{ seq: Number(/^id: (\d+)$/m.exec(frame)?.[1]), ...JSON.parse(data) }]
  })
}

/** Opens a run's events as the demo user. */
export async function openEvents (url: string, runId: string, query = '', headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/api/runs/${runId}/events${query}`, { headers: { ...await bearer(), ...headers } })
}

/** The text a reader has who appends chunks and obeys rewinds. */
export function textOf (events: Array<RunEvent & { seq: number }>): string {
  let chunks: Array<{ seq: number, content: string }> = []
  for (const event of events) {
    if (event.type === 'chunk') chunks.push(event)
    if (event.type === 'rewind') chunks = chunks.filter(({ seq }) => seq <= event.to)
  }
  return chunks.map(({ content }) => content).join('')
}

export function typesOf (told: Pick<Told, 'events'>): string[] {
  return told.events.map(({ type }) => type)
}

/** A run as `GET /api/runs/:id` has it, once it has ended. */
export async function endOf (service: Service, runId: string, headers?: Record<string, string>): Promise<Run> {
  for (;;) {
    const { body } = await service.request('GET', `/api/runs/${runId}`, { headers })
    if (body.finishedAt) return body
    await delay(LOOK_MS)
  }
}
