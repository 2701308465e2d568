import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { PGlite } from '@electric-sql/pglite'
import type { Test } from 'tap'
import { tsImport } from 'tsx/esm/api'
import type { Run } from '#shared/schemas.ts'
import { type GatewayDouble, startGateway } from './doubles/gateway.js'
import { type Auth, type Sql, startPostgrest } from './doubles/postgrest.js'
import {
  ALL_EVENTS, type Answer, BACKEND_SECRET, bearer, createDataDir, DEMO_AGENT, DEMO_USER, JWT_SECRET, readStream, type Service,
  startService, type Told
} from './helper.js'
import { LOOK_MS } from './until.js'
import { fetchForTest } from '../packages/fetch.js'

export const FUNCTION = fileURLToPath(new URL('../../supabase/functions/agent-runtime/', import.meta.url))

/** A module of the function in this process: it is loaded by its path, since TypeScript would check it without Deno's types. */
export function loadFunction (file: string): Promise<any> {
  return tsImport(pathToFileURL(FUNCTION + file).href, import.meta.url)
}

export const SERVICE_KEY = 'service-role-key'
/** Agents of the demo user that are not heavy, and heavy at an address of their own. */
export const SIMPLE_AGENT = '66666666-6666-4666-8666-666666666666'
export const PRIVATE_SIMPLE_AGENT = '66666666-6666-4666-8666-777777777777'

/** Finds packages where the project has them, and nowhere else. */
const OFFLINE = ['--node-modules-dir=manual', '--no-remote', '--cached-only', '--no-lock']

/** A project at Supabase: its database, and the address at which it is reached. */
export interface Project {
  url: string
  /** Whether the database is away, so that all calls fail. */
  isAway: boolean
  /** Resolves with the next call that fails for that. */
  nextFailure (): Promise<void>
  /** Past all rights, as the project's owner. */
  query: Sql['query']
  /** The run's row, once it has ended. */
  endOf (runId: string): Promise<Run>
  /** What can be spent, what is held, and the sum and number of the ledger's entries. */
  balance (userId?: string): Promise<{ remaining: number, reserved: number, charged: number, entries: number }>
}

/** The edge function in a Deno of its own. */
export interface Edge {
  url: string
  process: ChildProcess
  /** What it has logged. */
  logs: string[]
  /** Resolves with the first line of its log, from now on, that has this in it. */
  nextLog (text: string): Promise<string>
  /** A request with JSON both ways; as the demo user unless the headers say otherwise. */
  request (method: string, path: string, options?: { body?: unknown, headers?: Record<string, string> }): Promise<Answer>
  /** Opens a stream, by default of the simple agent, as a reader that knows all events unless the headers say otherwise. */
  open (body?: object, headers?: Record<string, string>): Promise<Response>
  execute (body?: object, headers?: Record<string, string>): Promise<Told>
}

/** The path of the real Deno; undefined if it cannot be had, which is said, and in CI is a failure. */
export async function findDeno (t: Test): Promise<string | undefined> {
  const path = await fetchForTest(t, 'deno')
  if (path === undefined) return undefined
  try {
    return createRequire(join(path, 'package.json'))('deno/install_api.cjs').runInstall()
  } catch (error) {
    if (process.env.REQUIRE_SERVICES) throw error
    t.comment('LEFT OUT: the npm package deno has no program for this machine')
    return undefined
  }
}

/** Runs Deno to its end, on files of the project alone. */
export async function runDeno (deno: string, args: string[], input = ''): Promise<{ code: number, stdout: string, stderr: string }> {
  const [command, ...rest] = args
  const child = spawn(deno, [command!, ...OFFLINE, ...rest], { cwd: FUNCTION, env: denoEnvironment() })
  const texts = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) child[name].setEncoding('utf8').on('data', chunk => { texts[name] += chunk })
  // What ends before it has read its input says why.
  child.stdin.on('error', () => {}).end(input)
  const [code] = await once(child, 'close')
  return { code, ...texts }
}

function denoEnvironment (variables: Record<string, string> = {}): Record<string, string> {
  return { HOME: tmpdir(), DENO_DIR: join(tmpdir(), 'jeesi-test-deno'), NO_COLOR: '1', ...variables }
}

export async function startProject (t: Test, auth: Auth = { jwtSecret: JWT_SECRET }): Promise<Project> {
  const pglite = await PGlite.create(join(await createDataDir(t), 'postgres'))
  t.teardown(() => pglite.close())
  for (const [id, published] of [[SIMPLE_AGENT, true], [PRIVATE_SIMPLE_AGENT, false]]) {
    await pglite.query(`insert into public.agents (id, user_id, name, purpose, status, system_prompt, is_published, is_heavy)
      values ($1, $2, 'Simple agent', 'To run on the edge.', 'active', 'You are simple.', $3, false)`, [id, DEMO_USER, published])
  }
  const query: Sql['query'] = async (text, values) => (await pglite.query<Record<string, any>>(text, values)).rows
  // PostgREST calls in the role of the key: what is not granted to service_role fails.
  const asService: Sql['query'] = (text, values) => pglite.transaction(async tx => {
    if (project.isAway) {
      for (const resolve of waiting) resolve()
      throw Object.assign(new Error('the database system is shutting down'), { code: '57P03' })
    }
    await tx.exec('set local role service_role')
    return (await tx.query<Record<string, any>>(text, values)).rows
  })
  const waiting: Array<() => void> = []
  const project: Project = {
    isAway: false,
    nextFailure: () => new Promise(resolve => { waiting.push(resolve) }),
    url: await startPostgrest(t, { query: asService }, SERVICE_KEY, auth),
    query,
    async endOf (runId) {
      for (;;) {
        const [row] = await query('select public.run_json(r) as run from public.agent_runs r where id = $1', [runId])
        if (row?.run.finishedAt) return row.run
        await delay(LOOK_MS)
      }
    },
    async balance (userId = DEMO_USER) {
      const [row] = await query(`select credits_remaining as remaining, credits_reserved as reserved,
          (select coalesce(sum(credits_used), 0)::int from public.credit_usage where user_id = $1) as charged,
          (select count(*)::int from public.credit_usage where user_id = $1) as entries
        from public.credit_balances where user_id = $1`, [userId])
      return row as never
    }
  }
  return project
}

/** The real service beside a project. */
export function startBackend (t: Test, project: Project, variables: Record<string, string> = {}): Promise<Service> {
  return startService(t, { SUPABASE_URL: project.url, SUPABASE_SERVICE_ROLE_KEY: SERVICE_KEY, ...variables })
}

/**
 * Starts the function as Supabase would.
 * @param variables its secrets, beside the two that Supabase sets itself.
 */
export async function startEdge (t: Test, deno: string, project: Project, variables: Record<string, string> = {}): Promise<Edge> {
  const env = denoEnvironment({
    PORT: '0', SUPABASE_URL: project.url, SUPABASE_SERVICE_ROLE_KEY: SERVICE_KEY, RAILWAY_BACKEND_SECRET: BACKEND_SECRET, ...variables
  })
  const child = spawn(deno, ['run', ...OFFLINE, '--allow-net', '--allow-env', 'index.ts'], { cwd: FUNCTION, env })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'close')
  })
  const logs: string[] = []
  let waiting: Array<{ text: string, resolve: (line: string) => void }> = []
  const nextLog = (text: string) => new Promise<string>(resolve => { waiting.push({ text, resolve }) })
  const listening = nextLog('Listening on')
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream.on('data', chunk => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        logs.push(line)
        for (const { resolve } of waiting.filter(({ text }) => line.includes(text))) resolve(line)
        waiting = waiting.filter(({ text }) => !line.includes(text))
      }
    })
  }
  const origin = await Promise.race([
    listening.then(line => /http:\/\/[^/\s]+/.exec(line)![0]),
    once(child, 'close').then(() => { throw new Error(`Deno ended:\n${logs.join('\n')}`) })
  ])
  const url = `${origin}/functions/v1/agent-runtime`
  const open = async (body: object = {}, headers?: Record<string, string>) => fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...ALL_EVENTS, ...headers ?? await bearer() },
    body: JSON.stringify({ agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }], ...body })
  })
  return {
    url,
    process: child,
    logs,
    nextLog,
    open,
    async request (method, path, { body, headers } = {}) {
      const response = await fetch(url + path, {
        method,
        headers: { 'content-type': 'application/json', ...headers ?? await bearer() },
        body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
      })
      const text = await response.text()
      return { status: response.status, headers: response.headers, body: text && JSON.parse(text) }
    },
    execute: async (body, headers) => readStream(await open(body, headers))
  }
}

export interface World { project: Project, service: Service, edge: Edge, gateway: GatewayDouble }

/** A project with the service beside it, and the edge function, which has a gateway of its own. */
export async function startWorld (t: Test, deno: string, variables: Record<string, string> = {}): Promise<World> {
  const project = await startProject(t)
  const service = await startBackend(t, project)
  const gateway = await startGateway(t)
  const edge = await startEdge(t, deno, project, {
    RAILWAY_BACKEND_URL: service.url, AI_GATEWAY_URL: gateway.url, LOVABLE_API_KEY: 'test-gateway-key', ...variables
  })
  return { project, service, edge, gateway }
}

/** A request for the heavy demo agent. */
export const HEAVY = { agentId: DEMO_AGENT }

/** Reads a stream until it holds a text. Returns how to read the rest; or the reader is cancelled. */
export async function readUntil (response: Response, text: string) {
  const reader = response.body!.getReader()
  let raw = ''
  while (!raw.includes(text)) {
    const next = await reader.read()
    if (next.done) throw new Error(`the stream ended without "${text}": ${raw}`)
    raw += Buffer.from(next.value)
  }
  return {
    seen: raw,
    leave: () => reader.cancel(),
    async rest () {
      for (let next = await reader.read(); !next.done; next = await reader.read()) raw += Buffer.from(next.value)
      return raw
    }
  }
}
