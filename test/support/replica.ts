import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import type { RunOwner } from '#shared/database/runs.ts'
import { SharedEventLog } from '../../src/redis/event-log.js'
import { RedisLink } from '../../src/redis/link.js'
import type { RunRegistry } from '../../src/redis/readers/looks.js'
import { StreamReader } from '../../src/redis/stream-reader.js'
import type { RedisServer } from './doubles/redis-server.js'

/** The Redis part of a process, without the process. */
export interface Replica {
  /** As the owner of its runs. */
  name: string
  link: RedisLink
  streams: StreamReader
  log: SharedEventLog
  /** All its connections to Redis. */
  connections: Redis[]
  /** The log lines about Redis. */
  lines: string[]
  close (): Promise<void>
}

/** What the database of all replicas beside one Redis knows: whose runs are. */
export class TestRegistry implements RunRegistry {
  readonly runs = new Map<string, { owner: string | null, hasEnded: boolean }>()
  /** How many runs each look asked for. */
  readonly looks: number[] = []
  /** Called for runs whose ends are to be read from the database. */
  onEnds = (_runIds: string[]): void => {}

  async findOwners (runIds: string[]): Promise<RunOwner[]> {
    this.looks.push(runIds.length)
    return runIds.map(runId => ({ runId, ...this.runs.get(runId) ?? { owner: null, hasEnded: false } }))
  }

  async readEnds (runIds: string[]): Promise<void> { this.onEnds(runIds) }

  /** As `claim_run` does. */
  own (runId: string, owner: string | null): void { this.runs.set(runId, { owner, hasEnded: false }) }
}

const REGISTRIES = new Map<string, TestRegistry>()

export function registryOf ({ url }: Pick<RedisServer, 'url'>): TestRegistry {
  const registry = REGISTRIES.get(url) ?? new TestRegistry()
  REGISTRIES.set(url, registry)
  return registry
}

export interface JoinOptions {
  maxBytes?: number
  /** By default that of all replicas which join the same server. */
  registry?: RunRegistry
}

export async function joinReplica (t: Pick<Test, 'teardown'>, server: Pick<RedisServer, 'url'>, { maxBytes = 64 * 1024 * 1024, registry }: JoinOptions = {}): Promise<Replica> {
  const lines: string[] = []
  const name = randomUUID()
  const write = (line: unknown) => { lines.push(String(line)) }
  const link = new RedisLink({ url: server.url }, { info: write, warn: write, error: write })
  const connections = [link.commands]
  const { openConnection } = link
  link.openConnection = options => {
    const connection = openConnection.call(link, options)
    connections.push(connection)
    return connection
  }
  const streams = new StreamReader(link.openConnection(), link.commands, name)
  const log = new TestLog(link, streams, { owner: name, maxBytes, keepMs: 60_000, registry: registry ?? registryOf(server) })
  const close = async () => {
    await log.close()
    streams.close()
    link.close()
  }
  t.teardown(close)
  await link.connect()
  return { name, link, streams, log, connections, lines, close }
}

/** A log that enters in the books of the test which runs it makes. */
class TestLog extends SharedEventLog {
  readonly #books: TestRegistry | undefined
  readonly #owner: string

  constructor (...[link, streams, options]: ConstructorParameters<typeof SharedEventLog>) {
    super(link, streams, options)
    this.#owner = options.owner
    if (options.registry instanceof TestRegistry) this.#books = options.registry
  }

  override open (runId: string, attempt: number): void {
    this.#books?.own(runId, this.#owner)
    super.open(runId, attempt)
  }

  override append (...[runId, event]: Parameters<SharedEventLog['append']>): ReturnType<SharedEventLog['append']> {
    if (!this.#books?.runs.has(runId)) this.#books?.own(runId, this.#owner)
    return super.append(runId, event)
  }
}

/** How often a command was called since the counts were reset (`CONFIG RESETSTAT`). */
export async function countCalls (client: Redis, command: string): Promise<number> {
  const stats = await client.info('commandstats')
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
}

/**
 * Hears all that processes say to each other, without being counted among those who listen. By a plain socket: ioredis's monitor
 * fails on a command that comes in one packet with its own answer.
 */
export async function eavesdrop (t: Pick<Test, 'teardown'>, { port }: Pick<RedisServer, 'port'>) {
  const frames: string[] = []
  const socket = connect(port, '127.0.0.1', () => socket.write('MONITOR\r\n'))
  t.teardown(() => socket.destroy())
  const lines = createInterface(socket)
  lines.on('line', line => {
    const frame = /^\+\S+ \[[^\]]*\] "publish" "[^"]*" "(.*)"$/.exec(line)?.[1]
    if (frame !== undefined) frames.push(frame.replaceAll(/\\(["\\])/g, '$1'))
  })
  await once(lines, 'line')
  return {
    frames,
    /** What names a run. */
    of: (runId: string) => frames.filter(frame => frame.includes(runId))
  }
}
