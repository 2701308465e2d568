import { access, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import { type SqlError, translateError } from '#shared/sql-errors.ts'
import { createPrivateFolder, makeContentPrivate } from '../lib/private-files.js'
import { lockDirectory } from './directory-lock.js'
import { migrate, type SqlRunner } from './migrations.js'
import type { Database } from './port.js'
import { type Arguments, toQuery } from './statements.js'

/** The hash of the demo's API key, which everybody knows: see supabase/seed.sql. */
const PUBLISHED_KEY_HASH = '8f7aa60aebb30ce3d7db97400e7eb1a4dd1db9fc14d06d0af03c24279e5cf4e4'

/** PostgreSQL writes zeros to all of it as it starts: of its default, 128 MB, that takes a second of processor time. */
const SHARED_BUFFERS = '32MB'

/**
 * Opens PostgreSQL in this process, with its files in `dataDir`, for the owner of this process alone, and migrates it.
 * @param hasDemo whether a new database gets the demo rows. Otherwise the demo's key, which an earlier release may have left,
 * is off.
 * @throws {DirectoryLockedError} if another process uses the directory.
 */
export async function openEmbedded (dataDir: string, hasDemo = true): Promise<Database> {
  await createPrivateFolder(dataDir)
  const unlock = await lockDirectory(dataDir)
  try {
    const path = join(dataDir, 'postgres')
    if (!await exists(path)) await initialise(dataDir, path, hasDemo)
    const pglite = await open(path)
    await migrate(runnerOf(pglite))
    if (!hasDemo) await pglite.query('update public.api_keys set is_active = false where key_hash = $1 and is_active', [PUBLISHED_KEY_HASH])
    // After the queries above: with the first of them PostgreSQL creates files that others may read.
    await makeContentPrivate(dataDir)
    return databaseOf(pglite, unlock)
  } catch (error) {
    await unlock()
    throw error
  }
}

/** Creates the database in a temporary directory and renames that, so that a process that is killed meanwhile leaves no incomplete database. */
async function initialise (dataDir: string, path: string, hasDemo: boolean): Promise<void> {
  for (const leftover of await readdir(dataDir)) {
    if (leftover.startsWith('postgres.new-')) await rm(join(dataDir, leftover), { recursive: true, force: true })
  }
  const unfinished = `${path}.new-${process.pid}`
  const pglite = await open(unfinished)
  await migrate(runnerOf(pglite), { seed: hasDemo })
  await pglite.close()
  await rename(unfinished, path)
}

async function open (path: string): Promise<PGlite> {
  const pglite = new PGlite({ dataDir: path, startParams: [...PGlite.defaultStartParams, '-c', `shared_buffers=${SHARED_BUFFERS}`] })
  await pglite.waitReady
  return pglite
}

function databaseOf (pglite: PGlite, unlock: () => Promise<void>): Database {
  return {
    async call (fn: string, args: Arguments = {}) {
      // PGlite executes queries on this thread: let the event loop run between two calls.
      await nextTurn()
      const { text, values } = toQuery(fn, args)
      try {
        const { rows } = await pglite.query<{ result: any }>(text, values)
        return rows[0]!.result
      } catch (error) {
        throw translateError(error as SqlError)
      }
    },
    async close () {
      if (!pglite.closed) await pglite.close()
      await unlock()
    }
  }
}

function runnerOf (pglite: PGlite): SqlRunner {
  return {
    async run (sql) { await pglite.exec(sql) },
    async query (sql, values) { return (await pglite.query<Record<string, unknown>>(sql, values)).rows }
  }
}

async function exists (path: string): Promise<boolean> {
  return access(path).then(() => true, () => false)
}
