import { access, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { PGlite } from '@electric-sql/pglite'
import { type SqlError, translateError } from '#shared/sql-errors.ts'
import { lockDirectory } from './directory-lock.js'
import { migrate, type SqlRunner } from './migrations.js'
import type { Database } from './port.js'
import { type Arguments, toQuery } from './statements.js'

/**
 * Opens PostgreSQL in this process, with its files in `dataDir`, and migrates it. A new database gets the demo rows.
 * @throws {DirectoryLockedError} if another process uses the directory.
 */
export async function openEmbedded (dataDir: string): Promise<Database> {
  await mkdir(dataDir, { recursive: true })
  const unlock = await lockDirectory(dataDir)
  try {
    const path = join(dataDir, 'postgres')
    if (!await exists(path)) await initialise(dataDir, path)
    const pglite = await open(path)
    await migrate(runnerOf(pglite))
    return databaseOf(pglite, unlock)
  } catch (error) {
    await unlock()
    throw error
  }
}

/** Creates the database in a temporary directory and renames that, so that a process that is killed meanwhile leaves no incomplete database. */
async function initialise (dataDir: string, path: string): Promise<void> {
  for (const leftover of await readdir(dataDir)) {
    if (leftover.startsWith('postgres.new-')) await rm(join(dataDir, leftover), { recursive: true, force: true })
  }
  const unfinished = `${path}.new-${process.pid}`
  const pglite = await open(unfinished)
  await migrate(runnerOf(pglite), { seed: true })
  await pglite.close()
  await rename(unfinished, path)
}

async function open (path: string): Promise<PGlite> {
  const pglite = new PGlite({ dataDir: path })
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
