import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { migrate, type MigrateOptions } from './migrations.js'
import { toQuery, translateError, type Database, type SqlError } from './port.js'

const MAX_CONNECTIONS = 20
const CONNECT_TIMEOUT = 5_000
const STATEMENT_TIMEOUT = 15_000
const CLOSE_TIMEOUT = 2_000

/** The database by a pool of direct connections. */
export function connectPostgres (url: string, onError: (error: Error) => void): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: MAX_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT,
    query_timeout: STATEMENT_TIMEOUT
  })
  // An idle connection that breaks is the pool's to replace; without a listener it would end the process.
  pool.on('error', onError)
  return {
    async call<T> (fn: string, args = {}) {
      try {
        const { rows } = await pool.query(toQuery(fn, args))
        return rows[0].result as T
      } catch (error) {
        throw translateError(error as SqlError)
      }
    },
    // A server that does not answer any more is not waited for.
    close: () => Promise.race([pool.end(), delay(CLOSE_TIMEOUT, undefined, { ref: false })])
  }
}

/** Brings a database up to date by a connection of its own. Returns the names of the migrations that were applied now. */
export async function migratePostgres (url: string, options?: MigrateOptions): Promise<string[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT })
  await client.connect()
  try {
    return await migrate({
      async run (sql) { await client.query(sql) },
      async query (sql, values) { return (await client.query(sql, values)).rows }
    }, options)
  } finally {
    await client.end()
  }
}
