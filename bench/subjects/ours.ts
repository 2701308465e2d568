import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AGENT, SECRET, type Database } from '../database.js'
import type { Lab } from '../lab.js'
import { findFreePort } from '../process.js'
import { head, post, startServer, type Server, type Subject } from './subject.js'

const BUILT = fileURLToPath(new URL('../../dist', import.meta.url))
const MANY = '1000000'

export interface OursOptions {
  upstream: string
  databaseUrl: string
  variables?: Record<string, string>
  /** The output directory of `npm run build`; this project's own by default. */
  built?: string
  /** `worker` makes runs that others begin. */
  program?: 'server' | 'worker'
  /** Command-line options for Node. */
  nodeOptions?: string[]
  /** False: it may run on all cores, instead of only the server's. */
  bound?: boolean
}

/** Starts the service as in production, except for its limits of requests and runs. */
export async function startOurs (lab: Lab, { upstream, databaseUrl, variables, built = BUILT, program = 'server', nodeOptions = [], bound }: OursOptions): Promise<Server> {
  const port = await findFreePort()
  const server = await startServer(lab, 'ours', lab.node.path, [...nodeOptions, join(built, `${program}.js`)], {
    port,
    bound,
    env: {
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      PORT: String(port),
      SUPABASE_DB_URL: databaseUrl,
      SUPABASE_JWT_SECRET: SECRET,
      RAILWAY_BACKEND_SECRET: SECRET,
      AI_GATEWAY_URL: `${upstream}/v1`,
      RATE_LIMIT_MAX: '1000000000',
      MAX_CONCURRENT_RUNS: MANY,
      MAX_RUNS_PER_USER: MANY,
      MAX_QUEUED_RUNS: MANY,
      DRAIN_SECONDS: '0',
      ...variables
    }
  })
  const { tokens } = lab.databases
  const execution = (prompt: string) => ({ agentId: AGENT, messages: [{ role: 'user', content: prompt }] })
  return {
    ...server,
    requests: prompt => ({
      requests: tokens.map(token => post('/api/agent/execute', { authorization: `Bearer ${token}` }, execution(prompt))),
      readers: tokens.map(token => head('GET', '/api/runs/{run}/events', { authorization: `Bearer ${token}` }))
    }),
    socketRequests: prompt => ({
      requests: tokens.map(token => head('GET', '/ws', {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-protocol': `jeesi, bearer.${token}`
      })),
      messages: [JSON.stringify({ type: 'agent_execute', ...execution(prompt) })]
    })
  }
}

/** Starts a server with a database of its own, which is dropped when it stops. */
export async function startOnDatabase (lab: Lab, start: (database: Database) => Promise<Server>): Promise<Server> {
  const database = await lab.databases.create()
  const server = await start(database).catch(async error => {
    await database.drop()
    throw error
  })
  return {
    ...server,
    settle: async () => { if (lab.cores) await database.bind(lab.cores.bench) },
    async stop () {
      await server.stop()
      await database.drop()
    }
  }
}

export const ours: Subject = {
  name: 'ours',
  title: 'this service: authentication, credits in Postgres, event log, resume',
  format: 'events',
  start: (lab, upstream) => startOnDatabase(lab, ({ url }) => startOurs(lab, { upstream, databaseUrl: url }))
}
