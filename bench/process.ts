import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Connections that the largest load has, on both sides, and some more. */
const DESCRIPTORS = 20_000
const START_TIMEOUT = 60_000
const STOP_TIMEOUT = 15_000
/** Characters of a program's output that an error shows. */
const SAID = 500

const running = new Set<ChildProcess>()
process.once('exit', killPrograms)

/** Ends what was started and not stopped. */
export function killPrograms (): void {
  for (const child of running) child.kill('SIGKILL')
}

export interface Program {
  pid: number
  child: ChildProcess
  /** Ends it, by force where it does not end by itself. */
  stop (signal?: NodeJS.Signals): Promise<void>
  /** What it wrote, or the first of it: what came of that is of less interest. */
  said (): string
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
  const bound = cores === undefined ? [command] : ['taskset', '-c', cores, command]
  const child = spawn('sh', ['-c', script, 'sh', ...bound, ...args], {
    cwd,
    env: { PATH: process.env.PATH, ...env },
    stdio: piped ? ['pipe', 'pipe', file] : ['ignore', file, file]
  })
  closeSync(file)
  running.add(child)

  return {
    pid: child.pid!,
    child,
    async stop (signal = 'SIGTERM') {
      running.delete(child)
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill(signal)
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT)
      await once(child, 'exit')
      clearTimeout(timer)
    },
    said: () => readFileSync(log, 'utf8').slice(0, SAID)
  }
}

/** @returns milliseconds until it answers a GET with 200, asked every two. */
export async function untilHealthy (program: Program, url: string): Promise<number> {
  const startedAt = performance.now()
  while (!await isHealthy(url)) {
    const ended = program.child.exitCode !== null || program.child.signalCode !== null
    if (ended || performance.now() - startedAt > START_TIMEOUT) throw new Error(`${program.child.spawnargs.at(-1)} did not start:\n${program.said()}`)
    await delay(2)
  }
  return performance.now() - startedAt
}

function isHealthy (url: string): Promise<boolean> {
  return new Promise(resolve => {
    get(url, { agent: false }, response => {
      response.resume()
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
