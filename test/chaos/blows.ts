import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster } from '../support/doubles/postgres-cluster.js'
import type { RedisServer } from '../support/doubles/redis-server.js'
import type { Replica, Service } from './replica.js'

/** The process or service that a blow hits. */
export type Target = Replica | RedisServer | Cluster

export interface Targets {
  replicas: Replica[]
  /** Only if started by this program, as the cluster. */
  redis?: RedisServer
  postgres?: Cluster
}

/** A fault that is injected while the service is under load. */
interface Blow {
  /** Its relative frequency. */
  weight: number
  /** The candidates. */
  targets (all: Targets): Target[]
  /** Deals the blow, and resolves when it is over. @param ms its duration, if it has one. */
  deal (target: any, ms: number): Promise<void>
}

/** The longest pause of a slow Redis. */
const MAX_SLOW_MS = 3_000

export const BLOWS = {
  kill: onReplica(5, async replica => {
    await replica.end('SIGKILL')
    await replica.start()
  }),
  terminate: onReplica(3, async replica => {
    await replica.end('SIGTERM')
    await replica.start()
  }),
  freeze: onReplica(1, (replica, ms) => replica.freeze(ms)),
  cutFromRedis: onRoute('redis', 2, cut),
  muteToRedis: onRoute('redis', 2, mute),
  forgottenByRedis: onRoute('redis', 1, blackhole),
  cutFromPostgres: onRoute('postgres', 2, cut),
  muteToPostgres: onRoute('postgres', 2, mute),
  forgottenByPostgres: onRoute('postgres', 1, blackhole),
  restartRedis: onRedis(3, async (redis, ms) => {
    await redis.stop('SIGKILL')
    await delay(ms)
    await redis.start()
  }),
  freezeRedis: onRedis(2, async ({ process }, ms) => {
    process.kill('SIGSTOP')
    await delay(ms)
    process.kill('SIGCONT')
  }),
  flushRedis: onRedis(3, async ({ client }) => { await client.flushall() }),
  fillRedis: onRedis(2, async ({ client }, ms) => {
    await client.config('SET', 'maxmemory', 1)
    await delay(ms)
    await client.config('SET', 'maxmemory', 0)
  }),
  slowRedis: onRedis(2, async ({ client }, ms) => {
    const pause = Math.min(ms, MAX_SLOW_MS)
    await client.client('PAUSE', pause)
    await delay(pause)
  }),
  restartPostgres: onPostgres(1, 'fast'),
  crashPostgres: onPostgres(1, 'immediate')
} satisfies Record<string, Blow>

export type BlowName = keyof typeof BLOWS

function onReplica (weight: number, deal: (replica: Replica, ms: number) => Promise<void>): Blow {
  return { weight, targets: ({ replicas }) => replicas, deal }
}

function onRoute (service: Service, weight: number, deal: (replica: Replica, service: Service, ms: number) => Promise<void>): Blow {
  return {
    weight,
    targets: ({ replicas }) => replicas.filter(replica => replica.proxy(service)),
    deal: (replica: Replica, ms) => deal(replica, service, ms)
  }
}

async function cut (replica: Replica, service: Service, ms: number): Promise<void> {
  const proxy = replica.proxy(service)!
  await proxy.close()
  await delay(ms)
  await proxy.open()
}

async function mute (replica: Replica, service: Service, ms: number): Promise<void> {
  const proxy = replica.proxy(service)!
  proxy.mute()
  await delay(ms)
  proxy.unmute()
}

async function blackhole (replica: Replica, service: Service): Promise<void> {
  replica.proxy(service)!.blackhole()
}

function onRedis (weight: number, deal: (redis: RedisServer, ms: number) => Promise<void>): Blow {
  return { weight, targets: ({ redis }) => redis ? [redis] : [], deal }
}

function onPostgres (weight: number, how: 'fast' | 'immediate'): Blow {
  return {
    weight,
    targets: ({ postgres }) => postgres ? [postgres] : [],
    async deal (cluster: Cluster, ms) {
      await cluster.stop(how)
      await delay(ms)
      await cluster.start()
    }
  }
}
