import { access, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { end, findFreePort, launch, leaveOut, makeDirectory } from './programs.js'

const PLACES = ['/usr/sbin/pgbouncer', '/usr/local/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer']

/**
 * A real pgbouncer before a database, on a port of its own.
 * @returns the database's URL by it; undefined where there is no pgbouncer.
 */
export async function startPgbouncer (t: Test, mode: 'transaction' | 'session', database: string, poolSize = 4): Promise<URL | undefined> {
  const program = await findProgram()
  if (!program) return leaveOut(t, 'pgbouncer') as undefined
  const { hostname, port, username, password } = new URL(database)
  const directory = await makeDirectory(t, 'pgbouncer')
  const config = join(directory, 'pgbouncer.ini')
  const url = new URL(database)
  url.port = String(await findFreePort())
  await writeFile(config, `
    [databases]
    * = host=${hostname} port=${port || 5432} user=${username} ${password && `password=${password}`}
    [pgbouncer]
    listen_addr = 127.0.0.1
    listen_port = ${url.port}
    unix_socket_dir =
    auth_type = any
    pool_mode = ${mode}
    default_pool_size = ${poolSize}
    query_wait_timeout = 2`)
  const pgbouncer = await launch(program, [config], /process up/)
  t.teardown(() => end(pgbouncer, 'SIGINT'))
  url.hostname = '127.0.0.1'
  return url
}

async function findProgram (): Promise<string | undefined> {
  for (const place of PLACES) if (await access(place).then(() => true, () => false)) return place
}
