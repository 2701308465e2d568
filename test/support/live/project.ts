import { readFile } from 'node:fs/promises'
import type { Transaction } from '@electric-sql/pglite'
import pg from 'pg'
import type { Test } from 'tap'
import { migrate, type SqlRunner } from '../../../src/database/migrations.js'
import { createEmptyPGlite, createPostgres, findPostgres } from '../helper.js'

/** The users of rows.sql, by what is particular about them. */
export const LIVE_USERS = {
  /** Role `admin`, 42 credits. */
  admin: 'aaaaaaaa-0000-4000-8000-000000000001',
  /** Plan `pro`, 480 credits, an agent of each kind, a schedule, an API key, a workspace. */
  pro: 'aaaaaaaa-0000-4000-8000-000000000002',
  /** One credit. */
  lastCredit: 'aaaaaaaa-0000-4000-8000-000000000003',
  /** -5 credits, and a plan that nobody knows. */
  overdrawn: 'aaaaaaaa-0000-4000-8000-000000000004',
  /** Neither a profile nor a balance. */
  newcomer: 'aaaaaaaa-0000-4000-8000-000000000005'
}

/** The agents of rows.sql. */
export const LIVE_AGENTS = {
  heavy: 'bbbbbbbb-0000-4000-8000-000000000001',
  /** Of a workspace, with a webhook and a schedule that is on. */
  writer: 'bbbbbbbb-0000-4000-8000-000000000002',
  /** The admin's; everybody may read it. */
  shared: 'bbbbbbbb-0000-4000-8000-000000000003',
  /** Unpublished, of the user with one credit, with a schedule that is off. */
  draft: 'bbbbbbbb-0000-4000-8000-000000000004'
}

/** The schedules of rows.sql. */
export const LIVE_SCHEDULES = {
  on: 'dddddddd-0000-4000-8000-000000000001',
  off: 'dddddddd-0000-4000-8000-000000000002'
}

/** Whom the database serves: an anonymous visitor, a signed-in user, or one of the platform's functions. */
export type LiveCaller = { role: 'anon' | 'service_role' } | { role: 'authenticated', sub: string }

export const ANON: LiveCaller = { role: 'anon' }
export const SERVICE: LiveCaller = { role: 'service_role' }
export const user = (sub: string): LiveCaller => ({ role: 'authenticated', sub })

type Row = Record<string, any>

/** A stand-in of the platform's live database. Its own `run` and `query` are those of the role that owns the tables, as in the SQL editor. */
export interface LiveDatabase extends SqlRunner {
  query (sql: string, values?: unknown[]): Promise<Row[]>
  /** Runs one statement in a transaction of its own, the way PostgREST does, and commits it. */
  as (caller: LiveCaller, sql: string, values?: unknown[]): Promise<Row[]>
  /** The same, but rolled back. */
  peek (caller: LiveCaller, sql: string, values?: unknown[]): Promise<Row[]>
  /** A URL of the database, where it has one. */
  url?: string
}

const FILES = ['tables', 'functions', 'policies', 'rows']

/** The SQL of the live project, as it is before the service's migrations. */
async function readLiveSql (files = FILES): Promise<string> {
  const texts = await Promise.all(files.map(name => readFile(new URL(`${name}.sql`, import.meta.url), 'utf8')))
  return texts.join('\n')
}

/** Makes an empty database into the live project, without the service's migrations. */
export async function makeLive (sql: SqlRunner): Promise<void> {
  await sql.run(await readFile(new URL('../../../supabase/platform.sql', import.meta.url), 'utf8'))
  await sql.run(await readLiveSql())
}

/** Opens an empty database in this process. Statements of several callers are executed one after the other. */
export async function openPglite (t: Test): Promise<LiveDatabase> {
  const pglite = await createEmptyPGlite(t)
  const runAs = (caller: LiveCaller, sql: string, values: unknown[] = [], keep: boolean) => pglite.transaction(async (transaction: Transaction) => {
    await transaction.query(`select ${BECOME}`, become(caller))
    const { rows } = await transaction.query<Row>(sql, values)
    if (!keep) await transaction.rollback()
    return rows
  })
  return {
    async run (sql) { await pglite.exec(sql) },
    query: async (sql, values = []) => (await pglite.query<Row>(sql, values)).rows,
    as: (caller, sql, values) => runAs(caller, sql, values, true),
    peek: (caller, sql, values) => runAs(caller, sql, values, false)
  }
}

/** Creates an empty database on the PostgreSQL server; its callers are served at the same time. */
export async function openPostgres (t: Test): Promise<LiveDatabase> {
  const url = await createPostgres(t, { migrated: false })
  const owner = new pg.Client({ connectionString: url })
  const pool = new pg.Pool({ connectionString: url, max: 10 })
  // The database is dropped with force.
  pool.on('error', () => {})
  await owner.connect()
  t.teardown(() => Promise.all([owner.end(), pool.end()]))
  const runAs = async (caller: LiveCaller, sql: string, values: unknown[] = [], end: 'commit' | 'rollback') => {
    const client = await pool.connect()
    try {
      await client.query('begin')
      await client.query(`select ${BECOME}`, become(caller))
      const { rows } = await client.query(sql, values)
      await client.query(end)
      return rows
    } catch (error) {
      await client.query('rollback')
      throw error
    } finally {
      client.release()
    }
  }
  return {
    url,
    async run (sql) { await owner.query(sql) },
    query: async (sql, values = []) => (await owner.query(sql, values)).rows,
    as: (caller, sql, values) => runAs(caller, sql, values, 'commit'),
    peek: (caller, sql, values) => runAs(caller, sql, values, 'rollback')
  }
}

/** Opens an empty database on the PostgreSQL server, as the platform's is; in this process only where there is no server. */
export async function openLive (t: Test): Promise<LiveDatabase> {
  return await findPostgres(t) ? openPostgres(t) : openPglite(t)
}

const BECOME = "set_config('role', $1, true), set_config('request.jwt.claims', $2, true)"

function become (caller: LiveCaller): string[] {
  return [caller.role, JSON.stringify(caller)]
}

/** The live project; `migrated`: with the service's migrations on it. */
export async function createLive (t: Test, { open = openLive, migrated = true } = {}): Promise<LiveDatabase> {
  const live = await open(t)
  await makeLive(live)
  if (migrated) await migrate(live)
  return live
}
