import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { pollDatabase } from '../database/poll-database.js'
import { LeaseKeeper, type SharedRuns } from '../executor/run/lease-keeper.js'

/** How often leases are renewed and expired ones are looked for. */
const ROUND_MS = 1_000

export interface LeasesOptions {
  /** Whether requests reach the process. The runs of one that none reaches are begun by others. */
  hasRequests: boolean
}

/** A process owns its runs for as long as it renews its leases; runs of others are taken over once theirs expire. */
async function leases (app: FastifyInstance, { hasRequests }: LeasesOptions): Promise<void> {
  const { database, executor, events, slots, localQueue, memory, redis, config, owner, log } = app
  // The data directory is this process's alone: whoever owned runs before is dead.
  if (config.database.kind === 'embedded') await database.call('release_runs', { p_owner: null, p_crashed: true })

  const keeper = new LeaseKeeper({
    owner,
    database,
    executor,
    events,
    slots,
    memory: memory.runs,
    queue: localQueue,
    shared: sharedRuns(app),
    maxConcurrent: config.maxConcurrentRuns,
    mayBeQuiet: hasRequests && !redis,
    isDraining: app.isDraining,
    hasPython: () => app.python.isAvailable(),
    log
  })
  const stop = pollDatabase(database, log, ROUND_MS, () => keeper.renew())
  app.onRequestArrives(() => keeper.wake())
  redis?.link.on('cleared', () => keeper.onQueueLost())
  app.shutdown.on('leases', () => keeper.release(stop))
}

function sharedRuns ({ sharedQueue, redis }: FastifyInstance): SharedRuns | undefined {
  return sharedQueue && redis && {
    get isUp () { return redis.link.isUp },
    restore: runs => sharedQueue.restore(runs),
    promoteParked: userId => { sharedQueue.promoteParked(userId) }
  }
}

export default fp(leases, { name: 'leases', dependencies: ['request-context', 'database', 'redis', 'memory', 'events', 'python', 'executor', 'queue', 'shutdown'] })
