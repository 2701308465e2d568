import { execFileSync } from 'node:child_process'
import pg from 'pg'
import { signAccessToken } from '../src/auth/access-token.js'
import { migratePostgres } from '../src/database/postgres.js'
import { cpuMs } from './proc.js'

export const SECRET = 'a-secret-that-is-only-for-the-bench'
export const AGENT = '22222222-2222-4222-8222-222222222222'
/** Runs of one user contend for a lock on the balance; those of several users do not. */
const USERS = 64
const CREDITS = 1_000_000_000

/** Creates a fresh database for each service that is started. */
export interface Databases {
  /** Access tokens of users with credits. */
  tokens: string[]
  create (): Promise<Database>
  close (): Promise<void>
}

export interface Database {
  url: string
  /** Executes a statement in it. */
  run (statement: string): Promise<void>
  /** Binds the PostgreSQL processes of this database to cores, as far as that is permitted. */
  bind (cores: string): Promise<void>
  /** Processor time of the PostgreSQL processes of this database since it was made, in milliseconds. @throws if they are on another machine. */
  readCpuMs (): Promise<number>
  drop (): Promise<void>
}

/** @param url of a server on which databases may be created. */
export async function prepareDatabases (url: string): Promise<Databases> {
  const admin = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  await admin.connect().catch(error => { throw new Error(`The bench needs PostgreSQL at ${url} (--url names another): ${error.message}`) })
  const template = `jeesi_bench_${process.pid}`
  const at = (name: string) => Object.assign(new URL(url), { pathname: `/${name}` }).href
  await admin.query(`create database ${template}`)
  await migratePostgres(at(template), { seed: true })
  const users = Array.from({ length: USERS }, (_, n) => `99999999-9999-4999-8999-${String(n).padStart(12, '0')}`)
  await addUsers(at(template), users)
  const names = new Set([template])
  let count = 0

  return {
    tokens: await Promise.all(users.map(user => signAccessToken(SECRET, user, '24h'))),
    async create () {
      const name = `${template}_${++count}`
      names.add(name)
      await admin.query(`create database ${name} template ${template}`)
      return {
        url: at(name),
        run: statement => runOnce(at(name), statement),
        bind: async cores => { for (const pid of await sessionsOf(name)) bindProcess(pid, cores) },
        readCpuMs: addUp(() => sessionsOf(name)),
        drop: () => drop(name)
      }
    },
    async close () {
      for (const name of names) await drop(name)
      await admin.end()
    }
  }

  async function sessionsOf (name: string): Promise<number[]> {
    const { rows } = await admin.query('select pid from pg_stat_activity where datname = $1', [name])
    return rows.map(({ pid }) => pid)
  }

  async function drop (name: string): Promise<void> {
    names.delete(name)
    await admin.query(`drop database if exists ${name} with (force)`)
  }
}

/** A session that has ended keeps what it had spent when it was last seen. */
function addUp (findPids: () => Promise<number[]>): () => Promise<number> {
  const spent = new Map<number, number>()
  return async () => {
    const pids = await findPids()
    for (const pid of pids) {
      const ms = await cpuMs(pid).catch(() => undefined)
      if (ms !== undefined) spent.set(pid, ms)
    }
    if (pids.length > 0 && spent.size === 0) throw new Error('PostgreSQL runs on another machine or as another system\'s process: what it spends cannot be read')
    return [...spent.values()].reduce((sum, ms) => sum + ms, 0)
  }
}

async function runOnce (url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(statement).finally(() => client.end())
}

async function addUsers (url: string, users: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query("insert into auth.users (id, email) select id, id || '@bench.local' from unnest($1::uuid[]) as users (id)", [users])
  await client.query(`insert into public.credit_balances (user_id, credits_remaining, plan_type) select id, $2, 'demo' from unnest($1::uuid[]) as users (id)
    on conflict (user_id) do update set credits_remaining = excluded.credits_remaining`, [users, CREDITS])
  await client.end()
}

function bindProcess (pid: number, cores: string): void {
  try {
    execFileSync('taskset', ['-cp', cores, String(pid)], { stdio: 'ignore' })
  } catch { /* the process belongs to another machine or user */ }
}
