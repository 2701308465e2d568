import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Deliveries } from '../schedules/deliveries.js'
import { Scheduler } from '../schedules/scheduler.js'
import { Schedules } from '../schedules/schedules.js'
import type { OnDue, Timer } from '../schedules/timer.js'

declare module 'fastify' {
  interface FastifyInstance {
    schedules: Pick<Schedules, 'look'> & Partial<Pick<Schedules, 'figures'>>
  }
}

const STARTS = {
  service: 'schedules: this service fires them',
  platform: 'schedules: left to the platform\'s own runner; SCHEDULES=on fires them here',
  off: 'schedules: off'
}

/** Fires schedules. A process that makes no runs leaves them, and the delivery of their results, to others. */
async function schedulesPlugin (app: FastifyInstance): Promise<void> {
  const { database, config, executor, redis } = app
  app.log.info({ schedules: config.schedules }, STARTS[config.schedules])
  if (config.schedules !== 'service' || config.maxConcurrentRuns === 0) {
    app.decorate('schedules', { look: async () => {} })
    return
  }
  const log = (message: string, fields: Record<string, unknown>) => app.log.info(fields, `[AGENT-EXECUTOR] ${message}`)
  const schedules = new Schedules({
    database,
    scheduler: new Scheduler({ database, begin: request => app.runs.begin({ ...request, kind: 'schedule' }), log }),
    deliveries: new Deliveries({ database, outbound: app.outbound, secret: config.webhookSecret, log }),
    openShared: redis && (onDue => openShared(redis, onDue)),
    isShared: () => redis?.link.isUp === true,
    isDraining: app.isDraining,
    isBusy: () => executor.size > 0,
    log: app.log
  })
  app.decorate('schedules', schedules)
  await schedules.start()
  app.onRequestArrives(() => schedules.wake())
  app.shutdown.on('schedules', budgetMs => schedules.close(budgetMs))
}

/** Loaded with Redis, since it brings the library of cron expressions along. */
async function openShared ({ link }: NonNullable<FastifyInstance['redis']>, onDue: OnDue): Promise<Timer> {
  const { openBullTimer } = await import('../schedules/timer-bullmq.js')
  return openBullTimer(link.commands, link.openConnection(), onDue)
}

export default fp(schedulesPlugin, { name: 'schedules', dependencies: ['request-context', 'database', 'redis', 'executor', 'runs', 'tools', 'shutdown'] })
