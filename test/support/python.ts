import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { PGlite } from '@electric-sql/pglite'
import type { Test } from 'tap'
import { DEMO_USER } from './helper.js'

const AGENTS = fileURLToPath(new URL('python', import.meta.url))
const run = promisify(execFile)

/**
 * Creates a Python environment with the agents of `test/support/python/`.
 * @returns the path of its interpreter; undefined if the machine has no Python, which is a failure if services are required.
 */
export async function findPython (t: Test): Promise<string | undefined> {
  try {
    const folder = await createFolder(t)
    await run('python3', ['-m', 'venv', '--without-pip', folder])
    const [lib] = (await readdir(join(folder, 'lib'))).filter(name => name.startsWith('python'))
    await writeFile(join(folder, 'lib', lib!, 'site-packages', 'agents.pth'), `${AGENTS}\n`)
    return join(folder, 'bin', 'python')
  } catch (error) {
    if (process.env.REQUIRE_SERVICES) throw error
    t.comment('LEFT OUT: no python3 with venv on this machine; these tests need one')
    return undefined
  }
}

export async function createFolder (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'jeesi-test-python-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Whether a process is running. A zombie is not. */
export function isAlive (pid: number): boolean {
  try {
    process.kill(pid, 0)
    if (!existsSync('/proc/self/stat')) return true
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z'
  } catch {
    // It ended before or between the two checks.
    return false
  }
}

/** Waits until these processes have ended. It polls, because they are not children of this process. */
export async function allGone (pids: number[]): Promise<void> {
  while (pids.some(isAlive)) await delay(10)
}

/** Creates an agent for each entrypoint in a data directory. @returns their ids by entrypoint. */
export async function createAgents (dataDir: string, entrypoints: Array<string | null>): Promise<Record<string, string>> {
  const sql = await PGlite.create(join(dataDir, 'postgres'))
  const ids: Record<string, string> = {}
  for (const entrypoint of entrypoints) {
    const id = ids[`${entrypoint}`] = randomUUID()
    await sql.query(`insert into public.agents (id, user_id, name, description, purpose, status, is_published, executor, entrypoint)
      values ($1, $2, 'A', '', '', 'active', true, 'python', $3)`, [id, DEMO_USER, entrypoint])
  }
  await sql.close()
  return ids
}
