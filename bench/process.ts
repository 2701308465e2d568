import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { hasProgram } from './machine.js'

/** File descriptors: the connections of the largest load, on both sides, and a reserve. */
const DESCRIPTORS = 20_000
const START_TIMEOUT = 60_000
const STOP_TIMEOUT = 15_000
/** Characters of a program's output that an error shows. */
const MAX_OUTPUT = 500

const running = new Set<ChildProcess>()
process.once('exit', killPrograms)
/** Ends a program together with the bench, even if the bench is killed. */
const DIE_WITH_PARENT = hasProgram('setpriv') ? ['setpriv', '--pdeathsig', 'KILL'] : []

/** Kills all programs that are running. */
export function killPrograms (): void {
  for (const child of running) child.kill('SIGKILL')
}

export interface Program {
  pid: number
  child: ChildProcess
  /** Ends the program; it is killed if it does not end within 15 seconds. */
  stop (signal?: NodeJS.Signals): Promise<void>
  /** The beginning of its log, where the first error is. */
  readOutput (): string
}

export interface ProgramOptions {
  env?: Record<string, string>
  /** The cores it may run on, in the notation of `taskset -c`. */
  cores?: string
  cwd?: string
  /** The file for its output; reading a pipe would take part in the load. */
  log: string
  /** Whether its standard input and output are pipes, and only its errors go to the log. */
  piped?: boolean
}

/** Starts a program on its cores, with enough file descriptors and only this environment. */
export function startProgram (command: string, args: string[], { env = {}, cores, cwd, log, piped }: ProgramOptions): Program {
  const file = openSync(log, 'w')
  // With `exec`, the program replaces the shell and has its process id.
  const script = `ulimit -n ${DESCRIPTORS} 2>/dev/null || ulimit -n "$(ulimit -H -n)"; exec "$@"`
  const bound = cores === undefined ? [] : ['taskset', '-c', cores]
  const child = spawn('sh', ['-c', script, 'sh', ...DIE_WITH_PARENT, ...bound, command, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: piped ? ['pipe', 'pipe', file] : ['ignore', file, file]
  })
  closeSync(file)
  running.add(child)
  child.once('exit', () => running.delete(child))

  return {
    pid: child.pid!,
    child,
    async stop (signal = 'SIGTERM') {
      if (hasEnded(child)) return
      child.kill(signal)
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT)
      await once(child, 'exit')
      clearTimeout(timer)
    },
    readOutput: () => readFileSync(log, 'utf8').slice(0, MAX_OUTPUT)
  }
}

function hasEnded (child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** @returns milliseconds until `answers` is true, polled every 2 ms. @throws after 60 seconds, or if the program ends; then it is stopped. */
export async function untilStarted (name: string, program: Program, answers: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now()
  while (!await answers()) {
    if (hasEnded(program.child) || performance.now() - startedAt > START_TIMEOUT) {
      await program.stop('SIGKILL')
      throw new Error(`${name} did not start:\n${program.readOutput()}`)
    }
    await delay(2)
  }
  return performance.now() - startedAt
}

/** Whether a GET request is answered with 200 within a second. */
export function isHealthy (url: string): Promise<boolean> {
  return new Promise(resolve => {
    get(url, { agent: false, signal: AbortSignal.timeout(1000) }, response => {
      response.on('error', () => {}).resume()
      resolve(response.statusCode === 200)
    }).on('error', () => resolve(false))
  })
}

export async function findFreePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
