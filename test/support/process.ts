import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { SHORT_LIVED } from '../../scripts/tests/options.js'
import { buildPrograms } from './build.js'

const BUILT = await buildPrograms()

/** Where a program of ours is, such as `server.js`; one of another release is where its path says. */
export function pathOf (script: string): string {
  return resolve(BUILT, script)
}

/**
 * A program of ours as a command and its arguments. It sees no environment but this: through what `spawn` is given tap
 * would slip in a loader of its own, which doubles the time of a start.
 * @param options of Node; none for what is under load.
 */
export function commandOf (script: string, args: string[], variables: Record<string, string>, options = SHORT_LIVED): [string, string[]] {
  const environment = Object.entries({ PATH: process.env.PATH, ...variables }).map(([name, value]) => `${name}=${value}`)
  return ['env', ['-i', ...environment, process.execPath, ...options, pathOf(script), ...args]]
}

/** Starts a program of ours; it sees no environment but this, and no .env file. */
export function launch (t: Test, script: string, args: string[], variables: Record<string, string>): ChildProcess {
  const child = spawn(...commandOf(script, args, variables), { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe'] })
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
