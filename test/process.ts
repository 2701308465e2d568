import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { buildPrograms } from './build.js'

const BUILT = await buildPrograms()

/** Where a program or module of ours is once compiled, such as `server.js`. */
export function pathOf (script: string): string {
  return join(BUILT, script)
}

/** Starts a program of ours; it sees no environment but this, and no .env file. */
export function launch (t: Test, script: string, args: string[], variables: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [pathOf(script), ...args], {
    cwd: tmpdir(), env: { PATH: process.env.PATH, ...variables }, stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  return child
}

/** A program of ours from its start to its end. */
export async function run (t: Test, script: string, args: string[], variables: Record<string, string> = {}) {
  const child = launch(t, script, args, variables)
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'exit')])
  return { code, stdout, stderr }
}
