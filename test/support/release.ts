import { execFile } from 'node:child_process'
import { access, copyFile, mkdir, mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import type { Test } from 'tap'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CACHE = join(ROOT, 'node_modules/.cache/jeesi-test')
/** The commit of release 0.2.0. */
const COMMIT = 'e9972b6b'
/** What looks for files beside its code, and what only tools of MCP servers need and is not installed any more. */
const APART = ['@electric-sql/pglite', 'bullmq', 'ioredis', 'pg-native', '@modelcontextprotocol/sdk']
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"
const exec = promisify(execFile)

/**
 * Makes the service of release 0.2.0 from the history of this repository, with the packages of today, once for all tests.
 * @returns the path of its server; undefined where the history does not reach back so far, which is said.
 */
export async function findRelease020 (t: Pick<Test, 'comment'>): Promise<string | undefined> {
  const path = join(CACHE, `release-0.2.0-${COMMIT}`)
  const server = join(path, 'dist/server.js')
  if (await exists(server)) return server
  if (!await hasCommit()) {
    t.comment(`LEFT OUT: the history of this repository does not have release 0.2.0 (${COMMIT})`)
    return undefined
  }
  await mkdir(CACHE, { recursive: true })
  const unfinished = await mkdtemp(`${path}-`)
  try {
    await exec('sh', ['-c', 'git archive "$1" package.json src supabase python | tar -x -C "$2"', 'sh', COMMIT, unfinished], { cwd: ROOT })
    await symlink(join(ROOT, 'node_modules'), join(unfinished, 'node_modules'))
    await buildServer(unfinished)
    // Another test may have been faster; its build is as good.
    await rename(unfinished, path).catch(async error => { if (!await exists(server)) throw error })
    return server
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
}

async function buildServer (directory: string): Promise<void> {
  const outdir = join(directory, 'dist')
  await build({
    absWorkingDir: directory,
    entryPoints: ['src/process/server.ts'],
    entryNames: '[name]',
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: APART,
    banner: { js: REQUIRE },
    logLevel: 'warning'
  })
  const scripts = (await readdir(join(directory, 'src'), { recursive: true })).filter(name => name.endsWith('.lua'))
  for (const script of scripts) await copyFile(join(directory, 'src', script), join(outdir, basename(script)))
}

function hasCommit (): Promise<boolean> {
  return exec('git', ['cat-file', '-e', `${COMMIT}^{commit}`], { cwd: ROOT }).then(() => true, () => false)
}

function exists (path: string): Promise<boolean> {
  return access(path).then(() => true, () => false)
}
