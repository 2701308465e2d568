import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { type SqlError, translateError } from '#shared/sql-errors.ts'
import { readConnectionUrl } from './connection-url.js'
import { FunctionCalls } from './function-calls.js'
import { GroupCommit, GroupRolledBack } from './group-commit.js'
import { migrate, type MigrateOptions } from './migrations.js'
import { explainFailure, isTold } from './migrations/explain.js'
import { type Database, type PoolState, timeoutOf } from './port.js'
import { type Arguments, toQuery } from './statements.js'

const CONNECT_TIMEOUT = 5_000
const CLOSE_TIMEOUT = 1_000
/**
 * Idle sessions are kept for the next burst, since one costs Postgres some 6 ms to begin, with its first plans, and 3 ms to
 * end; but not for long, since their keep-alive packets would keep a platform from putting the process to sleep.
 */
const IDLE_TIMEOUT = 60_000
/** Network devices drop connections that are silent, some after a minute. */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 30_000 }

/**
 * Functions that have a connection of their own, since users' calls may all wait for one locked balance: without
 * heartbeats a process loses its runs, abandoned runs must be claimed, and a full pool must not look like an outage.
 */
const RESERVED = new Set(['heartbeat_worker', 'get_owned_runs', 'claim_runs', 'release_runs', 'schema_version'])

/** Functions that every run calls to write: many concurrent calls of one are grouped into a transaction. */
const GROUPED = new Set(['begin_run', 'finish_run'])
/** A call with more characters of text is not grouped, since the others of its group would wait for it. */
const MAX_GROUPED_LENGTH = 64 * 1024
/** The statement timeout within a group, in milliseconds: a call that waits longer, for a lock, is taken out of the group. */
const GROUP_STATEMENT_TIMEOUT = 200

/** Prepared statement does not exist, and exists already: a pooler has switched the session. */
const SWITCHED_SESSION = new Set(['26000', '42P05'])

export interface PostgresOptions {
  url: string
  /** The CA of the server's certificate, as PEM text. */
  ca?: string
  /** Connections for users' calls; the reserved functions have one more. */
  maxConnections?: number
  /** Called when an idle connection breaks; the pool replaces it when it needs one. */
  onBroken?: (error: Error) => void
  /** Called when the database turns out to be behind a transaction pooler, which the URL does not show. */
  onTransactionPooler?: () => void
}

interface Call { fn: string, text: string, values: unknown[] }

/**
 * Connects to a PostgreSQL database, directly or through a pooler, by a pool of connections for users' calls and one
 * reserved connection.
 * @throws {UnfitDatabaseError} if the URL is invalid.
 */
export function connectPostgres ({ url, ca, maxConnections = 20, onBroken = () => {}, onTransactionPooler = () => {} }: PostgresOptions): Database {
  const { options, isTransactionPooler } = readConnectionUrl(url, ca)
  const open = (max: number) => {
    const pool = new pg.Pool({ ...options, ...KEEP_ALIVE, max, connectionTimeoutMillis: CONNECT_TIMEOUT, idleTimeoutMillis: IDLE_TIMEOUT })
    // An 'error' event without a listener would end the process. The pool listens only while a connection is idle; while it
    // is in use or being made, its query fails with the error.
    pool.on('connect', client => client.on('error', () => {}))
    return pool.on('error', error => { if (!pool.ending) onBroken(error) })
  }
  const pools = { users: open(maxConnections), reserved: open(1) }
  let hasSessions = !isTransactionPooler
  const groups = new GroupCommit<Call>({ sendAlone, sendGroup, canShare: (first, other) => first.text === other.text, lockOf })
  return {
    get pool () { return stateOf(pools.users) },
    async call (fn: string, args: Arguments = {}): Promise<any> {
      const call = { fn, ...toQuery(fn, args) }
      try {
        return await (GROUPED.has(fn) && isShort(call) ? groups.call(call) : sendAlone(call))
      } catch (error) {
        throw translateError(describe(error as SqlError))
      }
    },
    // Do not wait for a server that has stopped answering.
    close: async () => {
      await Promise.race([Promise.all([pools.users.end(), pools.reserved.end()]), delay(CLOSE_TIMEOUT, undefined, { ref: false })])
    }
  }

  async function sendAlone ({ fn, text, values }: Call): Promise<unknown> {
    const pool = RESERVED.has(fn) ? pools.reserved : pools.users
    const call = async (name?: string) => (await run(pool, new FunctionCalls(text, [values], { name, timeout: timeoutOf(fn) })))[0]!
    if (!hasSessions) return call()
    try {
      return await call(nameOf(text))
    } catch (error) {
      if (!SWITCHED_SESSION.has((error as SqlError).code ?? '')) throw error
      if (hasSessions) onTransactionPooler()
      hasSessions = false
      // The statement was refused before it was executed, so the call can be repeated.
      return call()
    }
  }

  async function sendGroup (calls: Call[]): Promise<unknown[]> {
    const { fn, text } = calls[0]!
    const group = new FunctionCalls(text, calls.map(({ values }) => values), {
      name: hasSessions ? nameOf(text) : undefined,
      timeout: timeoutOf(fn),
      statementTimeout: GROUP_STATEMENT_TIMEOUT
    })
    try {
      return await run(pools.users, group)
    } catch (error) {
      // If the connection broke it is unknown whether the group was committed.
      if (breaksConnection((error as SqlError).code)) throw error
      throw new GroupRolledBack(group.answered < calls.length ? group.answered : undefined, error)
    }
  }
}

/** The first argument: the user, whose slots and balance `begin_run` locks, or the run. */
function lockOf ({ values: [first] }: Call): string {
  return String(first)
}

function isShort ({ values }: Call): boolean {
  let length = 0
  for (const value of values) if (typeof value === 'string') length += value.length
  return length <= MAX_GROUPED_LENGTH
}

function stateOf ({ totalCount: open, idleCount: idle, waitingCount: waiting, options: { max } }: pg.Pool): PoolState {
  return { open, idle, waiting, max }
}

/** Runs calls on one connection of the pool. The connection is kept after a business error, and closed after an error that breaks it. */
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
 * Whether a connection cannot be used after an error. Without a SQLSTATE the answer may still arrive, or the server is gone;
 * with 08, 57P or XX the server or a pooler is shutting down; with 25006 the server has become read-only.
 */
function breaksConnection (code = ''): boolean {
  return !/^(?=.*\d)[0-9A-Z]{5}$/.test(code) || /^(08|57P|XX|25006)/.test(code)
}

const names = new Map<string, string>()

/** The name of a prepared statement: short, and the same in all processes, which may share sessions behind an unknown pooler. */
function nameOf (text: string): string {
  const known = names.get(text)
  if (known !== undefined) return known
  const name = `jeesi_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
  names.set(text, name)
  return name
}

/** An error of the driver in words for operators. */
function describe (error: SqlError & { errors?: Error[] }): SqlError {
  // For a host name with several addresses, the driver's error contains one error per address.
  const message = error.message || error.errors?.[0]?.message || 'no connection'
  const { code, hint, detail } = error
  // The pool's own words: all of its connections are in use. Its code is that of a server with too many connections.
  if (message === 'timeout exceeded when trying to connect') return { code: '53300', message: 'no connection came free in time' }
  return { code, hint, detail, message }
}

export interface MigratePostgresOptions extends MigrateOptions {
  /** The CA of the server's certificate, as PEM text. */
  ca?: string
  /** Called with what migrations say: what they took off, and warnings. */
  onNotice?: (message: string) => void
}

/**
 * Applies the migrations that a database lacks, on a connection of its own. Resolves to the names of those that were applied.
 * @throws {Error} a sentence for operators.
 */
export async function migratePostgres (url: string, { ca, onNotice = () => {}, ...options }: MigratePostgresOptions = {}): Promise<string[]> {
  const connection = readConnectionUrl(url, ca)
  const client = new pg.Client({ ...connection.options, connectionTimeoutMillis: CONNECT_TIMEOUT })
  client.on('notice', notice => { if (isTold(notice)) onNotice(notice.message!) })
  try {
    await client.connect()
    // Each script is one message and so one transaction, behind a transaction pooler too.
    return await migrate({
      async run (sql) { await client.query(sql) },
      async query (sql, values) { return (await client.query(sql, values)).rows }
    }, options)
  } catch (error) {
    throw explainFailure(error as Error, connection.host)
  } finally {
    // A connection that broke has ended, and one that was never made does not end.
    await client.end().catch(() => {})
  }
}
