import { execFile } from 'node:child_process'
import { appendFile, mkdtemp, readdir, readFile, rename, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PGlite } from '@electric-sql/pglite'
import type { Test } from 'tap'
import { openEmbedded } from '../../src/database/embedded.js'
import { hashMigrations } from './postgres.js'

/** A data directory with a migrated database and the demo rows: a copy of one that is made once for all tests. */
export async function createDataDir (t: Test): Promise<string> {
  return copyTemplate(t, await hashMigrations(), async directory => (await openEmbedded(directory)).close())
}

/** An empty database in this process: a copy of one that is made once for all tests, for PostgreSQL takes seconds to make one. */
export async function createEmptyPGlite (t: Test): Promise<PGlite> {
  const dataDir = await copyTemplate(t, 'empty', async directory => (await PGlite.create(join(directory, 'postgres'))).close())
  const pglite = await PGlite.create(join(dataDir, 'postgres'))
  t.teardown(() => pglite.close())
  return pglite
}

async function copyTemplate (t: Test, name: string, make: (directory: string) => Promise<void>): Promise<string> {
  const template = await findTemplate(name, make)
  const dataDir = await mkdtemp(join(tmpdir(), 'jeesi-test-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  // Node's own `cp` takes several times as long for a thousand files.
  await promisify(execFile)('cp', ['-R', join(template, 'postgres'), dataDir])
  return dataDir
}

async function findTemplate (name: string, make: (directory: string) => Promise<void>): Promise<string> {
  const path = join(tmpdir(), `jeesi-test-template-${name}-small`)
  const made = await readFile(join(path, 'postgres', 'PG_VERSION')).then(() => true, () => false)
  if (made) return path
  const unfinished = await mkdtemp(`${path}-`)
  await make(unfinished)
  await shrink(join(unfinished, 'postgres'))
  // Each test that opens it has PostgreSQL write zeros to all of this, which is 128 MB unless it is told otherwise.
  await appendFile(join(unfinished, 'postgres', 'postgresql.conf'), '\nshared_buffers = 16MB\n')
  // Another test may have been faster; its template is as good.
  await rename(unfinished, path).catch(() => rm(unfinished, { recursive: true, force: true }))
  return path
}

/** Leaves what a test needs, a quarter of the bytes and half of the files: hundreds of copies are made, and each opens all of its own. */
async function shrink (path: string): Promise<void> {
  const pglite = await PGlite.create(path)
  await pglite.exec('update pg_database set datistemplate = false, datallowconn = true where datname <> current_database()')
  for (const database of ['template0', 'template1']) await pglite.exec(`drop database ${database}`)
  // A log that begins anew, of which nothing but the beginning is written: the rest becomes a hole, which is not copied.
  for (const sql of ['set wal_recycle = off', 'select pg_switch_wal()', 'checkpoint']) await pglite.exec(sql)
  await pglite.close()
  const log = join(path, 'pg_wal')
  for (const name of (await readdir(log)).filter(name => /^[0-9A-F]{24}$/.test(name))) {
    const content = await readFile(join(log, name))
    await truncate(join(log, name), content.findLastIndex(byte => byte !== 0) + 1)
    await truncate(join(log, name), content.length)
  }
}
