import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { DirectoryLockedError, lockDirectory } from '../../src/database/directory-lock.js'

/** Folders beside this file: each has a package.json with exact versions, and the lock that npm made of it. */
export const PACKAGES = ['ag-ui', 'ai-sdk', 'api-documents', 'axe-core', 'deno', 'knip', 'mcp', 'node', 'openai', 'playwright-core', 'supabase'] as const
export type Package = typeof PACKAGES[number]

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/packages', import.meta.url))
const FILES = ['package.json', 'package-lock.json']
/** A registry that does not answer is given up soon. */
const OPTIONS = ['--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=1', '--fetch-retry-mintimeout=1000']
const WAIT_MS = 200
/** Less than what a test file may take, so that the test can still say what is missing. */
const MOST_MS = 240_000

/** Says which package could not be had, and why. */
class FetchError extends Error {
  constructor (name: Package, reason: string) {
    super(`the package ${name} could not be fetched: ${reason}`)
  }
}

/**
 * Installs a package that is too large for those who do not need it. It is fetched once for each version of its lock:
 * the directory in which it stands is called by the lock's hash.
 * @returns the directory that has it in its node_modules.
 * @throws {FetchError} if npm cannot install it, which it cannot without a network.
 */
export async function fetchPackage (name: Package, cache = CACHE): Promise<string> {
  const hash = createHash('sha256')
  for (const file of FILES) hash.update(await readFile(join(FOLDER, name, file)))
  const path = join(cache, `${name}-${hash.digest('hex').slice(0, 16)}`)
  if (!await exists(path)) await fetchAlone(name, path)
  return path
}

/** @returns undefined if the package cannot be had; the test says so, and fails where every service has to be there. */
export async function fetchForTest (t: Pick<Test, 'comment'>, name: Package, cache?: string): Promise<string | undefined> {
  try {
    return await fetchPackage(name, cache)
  } catch (error) {
    if (!(error instanceof FetchError) || process.env.REQUIRE_SERVICES) throw error
    t.comment(`LEFT OUT: ${error.message}`)
    return undefined
  }
}

/** Of several tests that need a package at once, one fetches it and the others wait. */
async function fetchAlone (name: Package, path: string): Promise<void> {
  const lock = `${path}.lock`
  await mkdir(lock, { recursive: true })
  const unlock = await waitForLock(lock)
  try {
    if (!await exists(path)) await install(name, path)
  } finally {
    await unlock()
  }
}

async function waitForLock (directory: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      return await lockDirectory(directory)
    } catch (error) {
      if (!(error instanceof DirectoryLockedError)) throw error
      await delay(WAIT_MS)
    }
  }
}

/** The package gets its directory when it is complete, so that nobody finds half of it after a kill. */
async function install (name: Package, path: string): Promise<void> {
  const unfinished = await mkdtemp(`${path}-`)
  try {
    for (const file of FILES) await copyFile(join(FOLDER, name, file), join(unfinished, file))
    await promisify(execFile)('npm', ['ci', ...OPTIONS], { cwd: unfinished, timeout: MOST_MS })
    await rename(unfinished, path)
  } catch (error) {
    throw new FetchError(name, explain(error as Error & { stderr?: string }))
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

/** The line in which npm says what is wrong; those before it have codes alone, those after it advice. */
function explain ({ message, stderr = '' }: Error & { stderr?: string }): string {
  const lines = stderr.split('\n').filter(line => /^npm error (?!code |errno |syscall )/.test(line))
  return lines[0]?.replace('npm error ', '') ?? message.split('\n')[0]!
}

function exists (path: string): Promise<boolean> {
  return access(path).then(() => true, () => false)
}
