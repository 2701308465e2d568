import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { type SqlError, translateError } from '#shared/sql-errors.ts'
import { readConnectionUrl } from './connection-url.js'
import { FunctionCalls } from './function-calls.js'
import { GroupCommit, GroupFailed } from './group-commit.js'
import { migrate, type MigrateOptions } from './migrations.js'
import { type Database, timeoutOf } from './port.js'
import { type Arguments, toQuery } from './statements.js'

const CONNECT_TIMEOUT = 5_000
const CLOSE_TIMEOUT = 1_000
/** What the next burst needs is kept for it: a session costs Postgres some 6 ms to begin, with its first plans, and 3 to end. */
const IDLE_TIMEOUT = 5 * 60_000
/** What stands between forgets a connection of which nothing is heard, some after a minute. */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 30_000 }

/**
 * What does not wait behind users' calls, which may all be waiting for one locked balance: a process that is not heard
 * of loses its runs, what others left behind is to be taken over, and a full pool is no database that is away.
 */
const APART = new Set(['heartbeat_worker', 'get_owned_runs', 'claim_runs', 'release_runs', 'schema_version'])

/** What every run calls, and writes by: these are made together where they are many. */
const GROUPED = new Set(['begin_run', 'finish_run'])
/** What is longer goes by itself, in characters: the others of a group would wait for it. */
const LONGEST_IN_GROUP = 64 * 1024
/** How long one of a group may take: it waits for a lock, and is taken out of it. */
const GROUP_PATIENCE = 200

/** Prepared statement does not exist, and exists already: the session is another's than it was. */
const OTHER_SESSION = new Set(['26000', '42P05'])

export interface PostgresOptions {
  url: string
  /** PEM text of the CA of the server's certificate. */
  ca?: string
  /** Connections for users' calls; there is one more. */
  maxConnections?: number
  /** An idle connection broke: the pool replaces it when one is needed. */
  onBroken?: (error: Error) => void
  /** What the URL did not tell: connections go by a transaction pooler. */
  onTransactionPooler?: () => void
}

interface Call { fn: string, text: string, values: unknown[] }

/**
 * The database by a pool of connections, direct or by a pooler, and one beside it for what must not wait.
 * @throws {UnfitDatabaseError} where the URL makes no sense.
 */
export function connectPostgres ({ url, ca, maxConnections = 20, onBroken = () => {}, onTransactionPooler = () => {} }: PostgresOptions): Database {
  const { options, isTransactionPooler } = readConnectionUrl(url, ca)
  const open = (max: number) => {
    const pool = new pg.Pool({ ...options, ...KEEP_ALIVE, max, connectionTimeoutMillis: CONNECT_TIMEOUT, idleTimeoutMillis: IDLE_TIMEOUT })
    // Without a listener a connection that breaks would end the process: from its first moment on, idle or in use, where
    // its query hears of it too.
    pool.on('connect', client => client.on('error', () => {}))
    return pool.on('error', error => { if (!pool.ending) onBroken(error) })
  }
  const pools = { users: open(maxConnections), apart: open(1) }
  let hasSessions = !isTransactionPooler
  const groups = new GroupCommit<Call>({ alone: ask, together: askTogether, fit: (first, other) => first.text === other.text })
  return {
    async call (fn: string, args: Arguments = {}): Promise<any> {
      const call = { fn, ...toQuery(fn, args) }
      try {
        return await (GROUPED.has(fn) && isShort(call) ? groups.ask(call) : ask(call))
      } catch (error) {
        throw translateError(describe(error as SqlError))
      }
    },
    // A server that does not answer any more is not waited for.
    close: async () => {
      await Promise.race([Promise.all([pools.users.end(), pools.apart.end()]), delay(CLOSE_TIMEOUT, undefined, { ref: false })])
    }
  }

  async function ask<T> ({ fn, text, values }: Call): Promise<T> {
    const pool = APART.has(fn) ? pools.apart : pools.users
    const call = async (name?: string) => (await run(pool, new FunctionCalls<T>(text, [values], { name, timeout: timeoutOf(fn) })))[0]!
    if (!hasSessions) return call()
    try {
      return await call(nameOf(text))
    } catch (error) {
      if (!OTHER_SESSION.has((error as SqlError).code ?? '')) throw error
      if (hasSessions) onTransactionPooler()
      hasSessions = false
      // Refused before it was executed.
      return call()
    }
  }

  async function askTogether (calls: Call[]): Promise<unknown[]> {
    const { fn, text } = calls[0]!
    const group = new FunctionCalls(text, calls.map(({ values }) => values), {
      name: hasSessions ? nameOf(text) : undefined,
      timeout: timeoutOf(fn),
      statementTimeout: GROUP_PATIENCE
    })
    try {
      return await run(pools.users, group)
    } catch (error) {
      // Whether all was done or nothing is not known where the connection broke.
      if (breaksConnection((error as SqlError).code)) throw error
      throw new GroupFailed(group.answered < calls.length ? group.answered : undefined, error)
    }
  }
}

function isShort ({ values }: Call): boolean {
  let length = 0
  for (const value of values) if (typeof value === 'string') length += value.length
  return length <= LONGEST_IN_GROUP
}

/** Calls by one connection, which is kept where it is as good as before: a business error is an answer. */
async function run<T> (pool: pg.Pool, call: FunctionCalls<T>): Promise<T[]> {
  const client = await pool.connect()
  let isBroken = true
  try {
    await new Promise<void>((resolve, reject) => {
      call.callback = error => { if (error) reject(error); else resolve() }
      client.query(call)
    })
    isBroken = false
  } catch (error) {
    isBroken = breaksConnection((error as SqlError).code)
    throw error
  } finally {
    client.release(isBroken)
  }
  return call.results
}

/**
 * Without a SQLSTATE the answer is still to come, or nobody is there. With one of these the server or a pooler is about
 * to go (08, 57P, XX), or is not the one to write to any more (25006).
 */
function breaksConnection (code = ''): boolean {
  return !/^(?=.*\d)[0-9A-Z]{5}$/.test(code) || /^(08|57P|XX|25006)/.test(code)
}

const names = new Map<string, string>()

/** Short and the same in all processes: behind an unknown pooler they meet in one session. There are as many as functions. */
function nameOf (text: string): string {
  const known = names.get(text)
  if (known !== undefined) return known
  const name = `jeesi_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
  names.set(text, name)
  return name
}

/** An error of the driver's own in words. */
function describe (error: SqlError & { errors?: Error[] }): SqlError {
  // Of a name with several addresses each has failed.
  const message = error.message || error.errors?.[0]?.message || 'no connection'
  const { code, hint } = error
  return { code, hint, message: message === 'timeout exceeded when trying to connect' ? 'no connection came free in time' : message }
}

/** Brings a database up to date by a connection of its own. Returns the names of the migrations that were applied now. */
export async function migratePostgres (url: string, options?: MigrateOptions): Promise<string[]> {
  const client = new pg.Client({ ...readConnectionUrl(url).options, connectionTimeoutMillis: CONNECT_TIMEOUT })
  await client.connect()
  try {
    // Each script is one message, which is one transaction: behind a transaction pooler too.
    return await migrate({
      async run (sql) { await client.query(sql) },
      async query (sql, values) { return (await client.query(sql, values)).rows }
    }, options)
  } finally {
    await client.end()
  }
}
