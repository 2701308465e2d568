import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import pg from 'pg'
import type { Test } from 'tap'
import { listMigrations } from '../../src/database/migrations.js'
import { migratePostgres } from '../../src/database/postgres.js'

export const POSTGRES_URL = process.env.TEST_POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'

const SUPABASE = new URL('../../supabase/', import.meta.url)
/** SQLSTATE of a database that there is already, and of one that somebody is connected to. */
const [EXISTS, IN_USE] = ['42P04', '55006']

/** The first look for a server, which holds for the file. */
let looked: Promise<boolean> | undefined

/** Whether there is a PostgreSQL server to test on. @throws in CI, if there is none. */
export function hasPostgres (): Promise<boolean> {
  looked ??= connect(2000).then(client => client.end()).then(() => true, error => {
    if (process.env.REQUIRE_SERVICES) throw error
    return false
  })
  return looked
}

/** The same; where there is none, it is said that the test is left out. */
export async function findPostgres (t: Test): Promise<boolean> {
  const found = await hasPostgres()
  if (!found) t.comment(`LEFT OUT: no PostgreSQL at ${POSTGRES_URL}; set TEST_POSTGRES_URL to run these tests`)
  return found
}

/** A database of its own on the real PostgreSQL server, migrated and seeded unless told otherwise; dropped at the end. */
export async function createPostgres (t: Test, { migrated = true } = {}): Promise<string> {
  const name = nameDatabase()
  const admin = await connect()
  const template = migrated ? `template ${await findTemplate(admin)}` : ''
  await admin.query(`create database ${name} ${template}`)
  t.teardown(async () => {
    await admin.query(`drop database ${name} with (force)`)
    await admin.end()
  })
  return urlOf(name)
}

/** Names the state of a migrated and seeded database. */
export async function hashMigrations (): Promise<string> {
  const files = ['platform.sql', 'seed.sql', ...(await listMigrations()).map(file => `migrations/${file}`)]
  const hash = createHash('sha256')
  for (const file of files) hash.update(await readFile(new URL(file, SUPABASE)))
  return hash.digest('hex').slice(0, 16)
}

/** A migrated and seeded database to copy, which is made once a day for all tests: its rows have times. */
async function findTemplate (admin: pg.Client): Promise<string> {
  const today = new Date().toISOString().slice(0, 10).replaceAll('-', '')
  const name = `jeesi_template_${today}_${await hashMigrations()}`
  const { rows: templates } = await admin.query('select datname from pg_database where starts_with(datname, \'jeesi_template_\')')
  const names = templates.map(({ datname }) => String(datname))
  if (names.includes(name)) return name
  const unfinished = nameDatabase()
  await admin.query(`create database ${unfinished}`)
  await migratePostgres(urlOf(unfinished), { seed: true })
  // Another test may have been faster; its template is as good.
  if (!await tries(admin, `alter database ${unfinished} rename to ${name}`, EXISTS)) await admin.query(`drop database ${unfinished}`)
  for (const old of names.filter(old => !old.includes(today))) await tries(admin, `drop database if exists ${old}`, IN_USE)
  return name
}

/** Whether a statement succeeded, rather than failed with this SQLSTATE. */
async function tries (client: pg.Client, sql: string, state: string): Promise<boolean> {
  return client.query(sql).then(() => true, error => {
    if (error.code === state) return false
    throw error
  })
}

async function connect (timeoutMs = 0): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: POSTGRES_URL, connectionTimeoutMillis: timeoutMs })
  await client.connect()
  return client
}

function nameDatabase (): string {
  return `jeesi_test_${process.pid}_${Math.random().toString(36).slice(2)}`
}

function urlOf (database: string): string {
  return Object.assign(new URL(POSTGRES_URL), { pathname: `/${database}` }).href
}
