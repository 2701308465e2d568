import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { Test } from 'tap'

/** Neither PostgreSQL nor pgbouncer runs as root: then they run as the user that their packages make. */
const OWNER = process.getuid!() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {}

function idOf (flag: string): number | undefined {
  try {
    return Number(execFileSync('id', [flag, 'postgres'], { stdio: ['ignore', 'pipe', 'ignore'] }))
  } catch {
    return undefined
  }
}

/** A directory that those programs may write to; removed at the end. */
export async function makeDirectory (t: Pick<Test, 'teardown'>, name: string): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), `jeesi-${name}-`))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  if (OWNER.uid !== undefined) await chown(path, OWNER.uid, OWNER.gid!)
  return path
}

export interface Program {
  child: ChildProcess
  /** What it says on standard error. */
  lines: Interface
}

/** Starts a program, and returns when it has said on standard error that it is ready. */
export async function launch (path: string, args: string[], ready: RegExp): Promise<Program> {
  const child = spawn(path, args, { ...OWNER, stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, LC_ALL: 'C' } })
  const lines = createInterface({ input: child.stderr! })
  const said: string[] = []
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    lines.once('close', () => reject(new Error(`${path} did not start: ${said.join('\n')}`)))
    lines.on('line', line => {
      said.push(line)
      if (ready.test(line)) resolve()
    })
  })
  return { child, lines }
}

/** Ends a program by a signal, and returns when it has ended. */
export async function end (program: Program | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!program || program.child.exitCode !== null || program.child.signalCode !== null) return
  const exited = once(program.child, 'exit')
  program.child.kill(signal)
  await exited
}

/** Runs a program of the same user to its end. */
export function run (program: string, args: string[]): void {
  execFileSync(program, args, { ...OWNER, stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, LC_ALL: 'C' } })
}

export async function findFreePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Says that tests are left out for want of a program; where every service has to be there, that is a failure. */
export function leaveOut (t: Pick<Test, 'comment'>, program: string): void {
  if (process.env.REQUIRE_SERVICES) throw new Error(`there is no ${program}`)
  t.comment(`LEFT OUT: no ${program} on this machine`)
}
