import { execFileSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'

export interface Machine { cpu: string, cores: number, memoryGb: number, kernel: string, node: string }

/** The Node.js that starts the subjects; the bench itself runs on its own. */
export interface NodeProgram { path: string, version: string }

/** @param path of a program; by default that of the bench itself. */
export function readNode (path = process.execPath): NodeProgram {
  return { path, version: execFileSync(path, ['--version'], { encoding: 'utf8' }).trim() }
}

export function readMachine ({ version }: NodeProgram): Machine {
  const cores = cpus()
  return {
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: version
  }
}

/** The measured commit, with `+` if there are uncommitted changes; empty outside a git repository. */
export function readCommit (): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no') ? '+' : '')
  } catch {
    return ''
  }
}

/** The cores of the server and of all other programs, so that these do not affect the server's figures. */
export interface Cores { server: string, bench: string }

/** @returns undefined if there is only one core, or no `taskset`. */
export function shareCores (count: number): Cores | undefined {
  if (count < 2 || !hasProgram('taskset')) return undefined
  return { server: '0', bench: count === 2 ? '1' : `1-${count - 1}` }
}

export function hasProgram (name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
