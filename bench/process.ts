import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { hasProgram } from './machine.js'

/** Connections that the largest load has, on both sides, and some more. */
const DESCRIPTORS = 20_000
const START_TIMEOUT = 60_000
const STOP_TIMEOUT = 15_000
/** Characters of a program's output that an error shows. */
const MAX_OUTPUT = 500

const running = new Set<ChildProcess>()
process.once('exit', killPrograms)
/** A program goes with the bench even where that is killed. */
const DIE_WITH_PARENT = hasProgram('setpriv') ? ['setpriv', '--pdeathsig', 'KILL'] : []

/** Ends what was started and has not ended. */
export function killPrograms (): void {
  for (const child of running) child.kill('SIGKILL')
}

export interface Program {
  pid: number
  child: ChildProcess
  /** Ends it, by force where it does not end by itself. */
  stop (signal?: NodeJS.Signals): Promise<void>
  /** What it wrote, or the first of it: what came of that is of less interest. */
  readOutput (): string
}

export interface ProgramOptions {
  env?: Record<string, string>
  /** The cores it may run on, as `taskset -c` takes them. */
  cores?: string
  cwd?: string
  /** Where its output goes: a file, so that no reader of a pipe takes part in the load. */
  log: string
  /** Its standard input and output are pipes, and only its errors go to the log. */
  piped?: boolean
}

/** Starts a program, bound to its cores and with descriptors enough; it sees no environment but this. */
export function startProgram (command: string, args: string[], { env = {}, cores, cwd, log, piped }: ProgramOptions): Program {
  const file = openSync(log, 'w')
  // `exec` all the way: the process that is started is the program itself.
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

/** @returns milliseconds until it answers, asked every two. @throws where it does not; then it is stopped. */
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

/** Whether a GET is answered by 200, within a second. */
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
