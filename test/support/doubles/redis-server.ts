import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import type { Test } from 'tap'

/** A real Redis for one test, without persistence. */
export interface RedisServer {
  readonly url: string
  readonly port: number
  /** A connection for the test itself; closed with it. */
  readonly client: Redis
  readonly process: ChildProcess
  stop (signal?: NodeJS.Signals): Promise<void>
  /** Starts again on the same port after `stop`, without data. */
  start (): Promise<void>
  restart (): Promise<void>
}

/** Whether `redis-server` is installed. If not, the tests are left out with a comment; with REQUIRE_SERVICES it is an error. */
export async function findRedis (t: Test): Promise<boolean> {
  try {
    await promisify(execFile)('redis-server', ['--version'])
    return true
  } catch (error) {
    if (process.env.REQUIRE_SERVICES) throw error
    t.comment('LEFT OUT: no redis-server in PATH; install Redis to run these tests')
    return false
  }
}

/** @param args further arguments of `redis-server`. */
export async function startRedis (t: Pick<Test, 'teardown'>, args: string[] = []): Promise<RedisServer> {
  const dir = await mkdtemp(join(tmpdir(), 'jeesi-redis-'))
  const port = await findFreePort()
  const tls = args.includes('--tls-port')
  let child = await launch()
  const client = new Redis({ port: tls ? 0 : port, host: '127.0.0.1', lazyConnect: tls, retryStrategy: () => 50, maxRetriesPerRequest: null })
  client.on('error', () => {})
  t.teardown(async () => {
    client.disconnect()
    await stop('SIGKILL')
    await rm(dir, { recursive: true, force: true })
  })

  async function launch (): Promise<ChildProcess> {
    const started = spawn('redis-server', ['--port', tls ? '0' : String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir,
      ...args.map(arg => arg.replace('%port', String(port)))], { stdio: ['ignore', 'pipe', 'inherit'] })
    for await (const line of createInterface({ input: started.stdout! })) {
      if (/Ready to accept connections/.test(line)) {
        started.stdout!.resume()
        return started
      }
    }
    throw new Error('redis-server did not start')
  }

  async function stop (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGCONT')
    child.kill(signal)
    await once(child, 'exit')
  }

  return {
    url: `${tls ? 'rediss' : 'redis'}://127.0.0.1:${port}`,
    port,
    client,
    get process () { return child },
    stop,
    start: async () => { child = await launch() },
    async restart () {
      await stop('SIGKILL')
      child = await launch()
    }
  }
}

async function findFreePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
