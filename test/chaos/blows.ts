import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster } from '../support/doubles/postgres-cluster.js'
import type { RedisServer } from '../support/doubles/redis-server.js'
import type { Replica, Service } from './replica.js'

/** What a blow hits. */
export type Target = Replica | RedisServer | Cluster

export interface Targets {
  replicas: Replica[]
  /** Only those that are the chaos's own. */
  redis?: RedisServer
  postgres?: Cluster
}

interface Blow {
  /** How often, in parts of the whole. */
  weight: number
  /** Whom it can befall. */
  targets (all: Targets): Target[]
  /** Deals it, and returns when it is over. @param ms how long it lasts, where it lasts. */
  deed (target: any, ms: number): Promise<void>
}

/** How long Redis does not answer at the most, where it is only slow. */
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
  forgottenByRedis: onRoute('redis', 1, forget),
  cutFromPostgres: onRoute('postgres', 2, cut),
  muteToPostgres: onRoute('postgres', 2, mute),
  forgottenByPostgres: onRoute('postgres', 1, forget),
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

function onReplica (weight: number, deed: (replica: Replica, ms: number) => Promise<void>): Blow {
  return { weight, targets: ({ replicas }) => replicas, deed }
}

function onRoute (service: Service, weight: number, deed: (replica: Replica, service: Service, ms: number) => Promise<void>): Blow {
  return {
    weight,
    targets: ({ replicas }) => replicas.filter(replica => replica.proxy(service)),
    deed: (replica: Replica, ms) => deed(replica, service, ms)
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

async function forget (replica: Replica, service: Service): Promise<void> {
  replica.proxy(service)!.forget()
}

function onRedis (weight: number, deed: (redis: RedisServer, ms: number) => Promise<void>): Blow {
  return { weight, targets: ({ redis }) => redis ? [redis] : [], deed }
}

function onPostgres (weight: number, how: 'fast' | 'immediate'): Blow {
  return {
    weight,
    targets: ({ postgres }) => postgres ? [postgres] : [],
    async deed (cluster: Cluster, ms) {
      await cluster.stop(how)
      await delay(ms)
      await cluster.start()
    }
  }
}
