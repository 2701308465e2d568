import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import type { Test } from 'tap'
import { migratePostgres } from '../../../src/database/postgres.js'
import { end, findFreePort, launch, leaveOut, makeDirectory, type Program, run } from './programs.js'

/** A PostgreSQL server of a test's own, to be treated as badly as need be. */
export interface Cluster {
  /** Its files; certificates may be put here. */
  directory: string
  /** A URL for its superuser, whom it trusts. */
  url (database?: string): string
  /** A migrated database with the demo rows, or an empty one. */
  createDatabase (options?: { migrated?: boolean }): Promise<string>
  start (): Promise<void>
  /** `fast` ends sessions with a word; `immediate` is a crash. */
  stop (how: 'fast' | 'immediate'): Promise<void>
  /** Runs SQL by a connection of its own, for each statement a session. */
  query (sql: string, database?: string): Promise<Array<Record<string, any>>>
  /** Resolves when the server writes such a line to its log. */
  nextLine (pattern: RegExp): Promise<void>
  /** Sets an option for all sessions, those that are open too; null takes it back. */
  set (option: string, value: string | null): Promise<void>
}

interface ClusterOptions {
  /** Lines before those that trust everybody. */
  hba?: string[]
  /** Called before the first start, for certificates. @returns options of the server. */
  prepare? (directory: string): Promise<Record<string, string>>
}

const SPEED = { fsync: 'off', full_page_writes: 'off', shared_buffers: '16MB', max_connections: '40', autovacuum: 'off' }

/** @returns undefined where there are no programs to make one with. */
export async function createCluster (t: Pick<Test, 'teardown' | 'comment'>, { hba = [], prepare }: ClusterOptions = {}): Promise<Cluster | undefined> {
  const bin = findPrograms()
  if (!bin) return leaveOut(t, 'PostgreSQL server (initdb)') as undefined
  const directory = join(await makeDirectory(t, 'cluster'), 'data')
  run(join(bin, 'initdb'), ['--no-sync', '--auth=trust', '--username=postgres', '--encoding=UTF8', '--locale=C', directory])
  const port = await findFreePort()
  const options = { ...SPEED, listen_addresses: '127.0.0.1', unix_socket_directories: '', ...await prepare?.(directory) }
  await writeFile(join(directory, 'postgresql.auto.conf'), Object.entries(options).map(([name, value]) => `${name} = '${value}'\n`).join(''))
  await writeFile(join(directory, 'pg_hba.conf'), [...hba, 'host all all 127.0.0.1/32 trust', ''].join('\n'))
  let program: Program | undefined
  let databases = 0
  t.teardown(() => end(program, 'SIGQUIT'))

  const cluster: Cluster = {
    directory,
    url: (database = 'postgres') => `postgres://postgres@127.0.0.1:${port}/${database}`,
    async start () {
      program = await launch(join(bin, 'postgres'), ['-D', directory, '-p', String(port)], /ready to accept connections/)
    },
    nextLine: pattern => new Promise(resolve => {
      program!.lines.on('line', line => { if (pattern.test(line)) resolve() })
    }),
    stop: how => end(program, how === 'fast' ? 'SIGINT' : 'SIGQUIT'),
    async createDatabase ({ migrated = true } = {}) {
      const name = `test_${++databases}`
      await cluster.query(`create database ${name} template ${migrated ? 'migrated' : 'template0'}`)
      return cluster.url(name)
    },
    async query (sql, database) {
      const client = new pg.Client({ connectionString: cluster.url(database) })
      await client.connect()
      try {
        return (await client.query(sql)).rows
      } finally {
        await client.end()
      }
    },
    async set (option, value) {
      await cluster.query(value === null ? `alter system reset ${option}` : `alter system set ${option} = '${value}'`)
      await cluster.query('select pg_reload_conf()')
      // A session that begins has the options of its server at that moment.
      const isSet = async () => (await cluster.query(`select source from pg_settings where name = '${option}'`))[0]!.source === 'configuration file'
      while (await isSet() !== (value !== null));
    }
  }
  await cluster.start()
  await cluster.query('create database migrated')
  await migratePostgres(cluster.url('migrated'), { seed: true })
  return cluster
}

function findPrograms (): string | undefined {
  return [...configured(), ...packaged()].find(directory => existsSync(join(directory, 'initdb')))
}

function configured (): string[] {
  try {
    return [execFileSync('pg_config', ['--bindir'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()]
  } catch {
    return []
  }
}

/** Where Debian has them, the newest first. */
function packaged (): string[] {
  const root = '/usr/lib/postgresql'
  return existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)).map(version => join(root, version, 'bin')) : []
}
