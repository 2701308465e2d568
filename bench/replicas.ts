import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { saturatedShape } from './experiments/tokens.js'
import type { Lab } from './lab.js'
import { hasProgram } from './machine.js'
import { Load, promptOf, startGateway } from './native.js'
import { cpuMs } from './proc.js'
import { findFreePort, startProgram, untilStarted, type Program } from './process.js'
import { startOurs } from './subjects/ours.js'
import type { Server } from './subjects/subject.js'
import { renderColumns, short } from './table.js'
import { perMillion, warmUp } from './trial.js'

/** Connections per process. */
const CONNECTIONS = 64

/**
 * Measures several processes of the service that share one Postgres, one Redis and a load. They also share the cores;
 * with more processes than cores, the growth of the figures is what the processes cost each other.
 */
export async function measureReplicas (lab: Lab, counts: number[]): Promise<string> {
  if (!hasProgram('redis-server')) throw new Error('Replicas need Redis: install redis-server (apt-get install redis-server).')
  const rows = [['processes', 'million tokens a second', 'processor s per million', 'processor s of Redis']]
  for (const count of counts) {
    lab.log(`${count} …`)
    rows.push(await measure(lab, count))
  }
  return renderColumns(rows)
}

async function measure (lab: Lab, count: number): Promise<string[]> {
  const database = await lab.databases.create()
  const redis = await startRedis(lab)
  const gateway = await startGateway(lab.directory, lab.cores?.bench)
  const servers: Server[] = []
  try {
    const variables = { REDIS_URL: redis.url }
    while (servers.length < count) servers.push(await startOurs(lab, { upstream: gateway.url, databaseUrl: database.url, variables, bound: false }))
    return await measureWindow(lab, servers, redis.program)
  } finally {
    await Promise.all(servers.map(server => server.stop()))
    await gateway.program.stop('SIGKILL')
    await redis.program.stop()
    await database.drop()
  }
}

async function measureWindow (lab: Lab, servers: Server[], redis: Program): Promise<string[]> {
  const shape = saturatedShape(lab, 1)
  const load = new Load(lab.directory, {
    ...shape,
    ...servers[0]!.requests(promptOf(shape)),
    format: 'events',
    ports: servers.map(({ port }) => port),
    connections: CONNECTIONS * servers.length
  }, lab.cores?.bench)
  const spent = async () => Promise.all([...servers, redis].map(({ pid }) => cpuMs(pid)))
  try {
    await warmUp(load, shape)
    await load.mark()
    const before = await spent()
    await delay(shape.windowMs)
    const { tokens, ms } = await load.mark()
    const times = (await spent()).map((after, index) => after - before[index]!)
    const ofRedis = times.pop()!
    const ofServers = times.reduce((sum, time) => sum + time, 0)
    return [String(servers.length), short(tokens / ms / 1000), short(perMillion(ofServers, tokens)), short(perMillion(ofRedis, tokens))]
  } finally {
    await load.stop()
  }
}

/** Starts a Redis server without persistence. */
export async function startRedis (lab: Lab): Promise<{ url: string, program: Program }> {
  const port = await findFreePort()
  const program = startProgram('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', lab.directory],
    { cores: lab.cores?.bench, log: join(lab.directory, 'redis.log') })
  await untilStarted('Redis', program, () => accepts(port))
  return { url: `redis://127.0.0.1:${port}`, program }
}

function accepts (port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
