import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { findFreePort, leaveOut } from './programs.js'

/** A Redis server of a test's own, to be treated as badly as need be. It keeps nothing: started again it is empty. */
export interface RedisServer {
  url: string
  port: number
  /** Ends it, as a crash does. */
  stop (): Promise<void>
  /** Starts it again, on the same port. */
  start (): Promise<void>
  restart (): Promise<void>
}

/** Whether there is a Redis server to test on; where there is none, that is said, and in CI it is a failure. */
export function findRedis (t: Test): boolean {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    leaveOut(t, 'Redis server (redis-server)')
    return false
  }
}

/** @param args options of redis-server beside those that it needs. */
export async function startRedis (t: Test, args: string[] = []): Promise<RedisServer> {
  const port = await findFreePort()
  let child: ChildProcess | undefined
  const redis: RedisServer = {
    url: `redis://127.0.0.1:${port}`,
    port,
    async start () {
      child = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
      const lines = createInterface({ input: child.stdout! })
      await new Promise<void>((resolve, reject) => {
        child!.once('error', reject)
        lines.once('close', () => reject(new Error('redis-server did not start')))
        lines.on('line', line => { if (line.includes('Ready to accept connections')) resolve() })
      })
    },
    async stop () {
      if (!child || child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
    async restart () {
      await redis.stop()
      await redis.start()
    }
  }
  t.teardown(() => redis.stop())
  await redis.start()
  return redis
}
