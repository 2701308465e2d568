import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import { SharedEventLog } from '../../src/redis/event-log.js'
import { RedisLink } from '../../src/redis/link.js'
import { StreamReader } from '../../src/redis/stream-reader.js'
import type { RedisServer } from './doubles/redis-server.js'

/** The Redis part of a process, without the process. */
export interface Replica {
  link: RedisLink
  streams: StreamReader
  log: SharedEventLog
  /** The log lines about Redis. */
  lines: string[]
  close (): void
}

export async function joinReplica (t: Pick<Test, 'teardown'>, { url }: Pick<RedisServer, 'url'>, maxBytes = 64 * 1024 * 1024): Promise<Replica> {
  const lines: string[] = []
  const write = (line: unknown) => { lines.push(String(line)) }
  const link = new RedisLink({ url }, { info: write, warn: write, error: write })
  const streams = new StreamReader(link.openConnection(), link.commands, randomUUID())
  const log = new SharedEventLog(link.commands, streams, { maxBytes, keepMs: 60_000, keepStreamSeconds: 600 })
  const close = () => {
    log.close()
    streams.close()
    link.close()
  }
  t.teardown(close)
  await link.connect()
  return { link, streams, log, lines, close }
}

/** Calls `ask` until the answer is wanted. Throws with the last answer after a while. */
export async function until<T> (ask: () => Promise<T>, isWanted: (answer: T) => boolean, seconds = 20): Promise<T> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const answer = await ask()
    if (isWanted(answer)) return answer
    if (Date.now() > end) throw new Error(`in ${seconds} s only ${JSON.stringify(answer)}`)
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** How often a command was called since the counts were reset (`CONFIG RESETSTAT`). */
export async function countCalls (client: Redis, command: string): Promise<number> {
  const stats = await client.info('commandstats')
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}
