import { execFile } from 'node:child_process'
import { appendFile, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
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
  const path = join(tmpdir(), `jeesi-test-template-${name}`)
  const made = await readFile(join(path, 'postgres', 'PG_VERSION')).then(() => true, () => false)
  if (made) return path
  const unfinished = await mkdtemp(`${path}-`)
  await make(unfinished)
  // Each test that opens it has PostgreSQL write zeros to all of this, which is 128 MB unless it is told otherwise.
  await appendFile(join(unfinished, 'postgres', 'postgresql.conf'), '\nshared_buffers = 16MB\n')
  // Another test may have been faster; its template is as good.
  await rename(unfinished, path).catch(() => rm(unfinished, { recursive: true, force: true }))
  return path
}
