import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const TSX = import.meta.resolve('tsx')

/** Starts a program of ours; it sees no environment but this, and no .env file. */
export function launch (t: Test, script: string, args: string[], variables: Record<string, string>): ChildProcess {
  const path = fileURLToPath(new URL(`../src/${script}`, import.meta.url))
  const child = spawn(process.execPath, ['--import', TSX, path, ...args], {
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
export async function run (t: Test, script: string, args: string[], variables: Record<string, string>) {
  const child = launch(t, script, args, variables)
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'exit')])
  return { code, stdout, stderr }
}
