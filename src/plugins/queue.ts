import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import { LEASE_SECONDS } from '../executor/run/lease.js'
import { LocalQueue, type RunQueue } from '../executor/run/queue.js'
import { INLINE_INPUT } from '../lib/memory/memory-budget.js'
import { Slots } from '../lib/slots.js'
import type { SharedQueue } from '../redis/queue.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** How many runs this process makes at a time, by user. */
    slots: Slots
    queue: RunQueue
    /** The queue of this process. */
    localQueue: LocalQueue
    /** The queue of all replicas, with Redis. */
    sharedQueue?: SharedQueue
  }
}

async function queuePlugin (app: FastifyInstance): Promise<void> {
  const { config, executor, events, owner, memory } = app
  const { maxConcurrentRuns: maxConcurrent, maxRunsPerUser: maxPerUser, maxQueuedRuns: maxWaiting } = config
  const onError = (err: unknown) => app.log.warn({ err }, '[AGENT-EXECUTOR] a position in the queue could not be told')
  const slots = new Slots({ maxConcurrent, maxPerUser, maxWaiting, onError })
  const local = new LocalQueue(owner, { slots, memory: memory.runs }, executor, events, maxConcurrent > 0)
  const shared = await createShared(app, slots, local)
  const queue: RunQueue = shared ?? local
  app.decorate('slots', slots)
  app.decorate('localQueue', local)
  app.decorate('sharedQueue', shared)
  app.decorate('queue', queue)
  if (shared) executor.whenUserWaits(userId => { shared.promoteParked(userId) })
  app.shutdown.on('queue', () => queue.stop())
  app.shutdown.on('jobs', () => shared?.close())
}

async function createShared (app: FastifyInstance, slots: Slots, local: LocalQueue): Promise<SharedQueue | undefined> {
  const { redis, config, database, owner } = app
  if (!redis) return undefined
  const { SharedQueue } = await import('../redis/queue.js')
  return new SharedQueue({
    link: redis.link,
    connection: redis.link.openConnection(),
    slots,
    local,
    events: app.events,
    streams: redis.streams,
    onCancel: runId => { app.executor.cancel(runId) },
    maxConcurrent: config.maxConcurrentRuns,
    maxPerUser: config.maxRunsPerUser,
    maxWaiting: config.maxQueuedRuns,
    log: app.log as Logger,
    claimRuns: async requests => database.call('claim_queued_runs', {
      // Readers may have positions that Redis has lost, and no event number is used twice.
      p_runs: requests.map(({ runId, isAgain }) => ({ runId, keepFirst: !isAgain })),
      p_owner: owner,
      p_lease_seconds: LEASE_SECONDS,
      p_max_per_user: config.maxRunsPerUser,
      p_python: await app.python.isAvailable(),
      p_room: local.room,
      p_inline_bytes: INLINE_INPUT
    })
  })
}

export default fp(queuePlugin, { name: 'queue', dependencies: ['database', 'redis', 'memory', 'events', 'python', 'executor', 'shutdown'] })
