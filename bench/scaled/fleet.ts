import type { Lab } from '../lab.js'
import { cpuMs } from '../proc.js'
import { startOnDatabase, startOurs, type OursOptions } from '../subjects/ours.js'
import type { Server } from '../subjects/subject.js'
import { startRedis } from './redis.js'

/** The ways in which the service is deployed; all processes share the server's core. */
export const FLEETS = ['alone', 'redis', 'remote', 'two', 'four'] as const
export type Fleet = typeof FLEETS[number]

/** The variables of each process, or the program if it is no server. */
const PROCESSES: Record<Fleet, Array<Pick<OursOptions, 'program' | 'variables'>>> = {
  alone: [{}],
  redis: [{}],
  // One process takes requests and streams what the other one makes: no reader is beside its run.
  remote: [{ variables: { MAX_CONCURRENT_RUNS: '0' } }, { program: 'worker' }],
  two: Array(2).fill({}),
  four: Array(4).fill({})
}

/** What remarks call it. */
const NAMES: Record<Fleet, string> = { alone: 'ours', redis: 'ours with Redis', remote: 'ours, read elsewhere,', two: 'ours as two processes', four: 'ours as four processes' }

/** How many processes it has. */
export function processesOf (name: Fleet): number {
  return PROCESSES[name].length
}

/** Starts the processes of a fleet with a database and a Redis of their own, as a subject of `runTrial`. */
export function fleet (name: Fleet) {
  return {
    name: NAMES[name],
    format: 'events' as const,
    start: (lab: Lab, upstream: string) => startOnDatabase(lab, async database => {
      const redis = name === 'alone' ? undefined : await startRedis(lab)
      const servers: Server[] = []
      const stop = async () => {
        await Promise.all(servers.map(server => server.stop()))
        await redis?.program.stop()
      }
      try {
        for (const { program, variables } of PROCESSES[name]) {
          servers.push(await startOurs(lab, { upstream, databaseUrl: database.url, program, variables: { ...variables, ...redis && { REDIS_URL: redis.url } } }))
        }
      } catch (error) {
        await stop()
        throw error
      }
      const [first, ...others] = servers as [Server, ...Server[]]
      return {
        ...first,
        otherPids: others.map(({ pid }) => pid),
        ports: name === 'remote' ? [first.port] : servers.map(({ port }) => port),
        readStores: async () => ({ redisMs: redis ? await cpuMs(redis.program.pid) : 0, databaseMs: await database.readCpuMs() }),
        stop
      }
    })
  }
}
