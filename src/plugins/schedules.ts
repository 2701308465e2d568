import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { poll } from '../lib/poll.js'
import type { RedisLink } from '../redis/link.js'
import { Deliveries } from '../schedules/deliveries.js'
import { Scheduler } from '../schedules/scheduler.js'
import { LocalTimer, type OnDue, type Timed, type Timer } from '../schedules/timer.js'
import type { Timing } from '../schedules/timing.js'

declare module 'fastify' {
  interface FastifyInstance {
    schedules: {
      /** Looks now, and not only in some seconds, for what was edited, is due, was left behind, or is to be sent. */
      look (): Promise<void>
    }
  }
}

/** How often edits are looked for, and what others have left behind: an edit takes so long to be seen. */
const LOOK_MS = 5_000
/** What is due until after the next look is timed at this one. */
const NEAR_SECONDS = 3 * LOOK_MS / 1000
const MAX_NEAR = 1_000
/** How often all schedules are held against what Redis has of them. */
const SHARE_MS = 30_000
/** Of those, the ones that are due next; the others come into it as their times do. */
const MAX_SHARED = 10_000
/** What Redis has not brought forth by then is fired without it. */
const GRACE_MS = 5_000
/** What firings and results that are under way get at the end. */
const CLOSE_MS = 1_000

interface Listed { now: string, timed: Array<Timing & { nextRunAt: string }>, unplanned: string[] }

/** Fires schedules when they are due, and sends their results on. A service that runs nothing leaves both to others. */
async function schedules (app: FastifyInstance): Promise<void> {
  const { database, config, log } = app
  if (config.maxConcurrentRuns === 0) {
    app.decorate('schedules', { look: async () => {} })
    return
  }
  const link = app.redis?.link
  const tell = (message: string, fields: Record<string, unknown>) => log.info(fields, `[AGENT-EXECUTOR] ${message}`)
  const scheduler = new Scheduler({ database, begin: request => app.runs.begin(request), log: tell })
  const deliveries = new Deliveries({ database, outbound: app.outbound, secret: config.webhookSecret, log: tell })
  const local = new LocalTimer(fire)
  const shared: Timer | undefined = link && await openShared(link, fire)
  let nextShare = 0
  app.decorate('schedules', { look: async () => { await Promise.all([look(), takeUp(), deliveries.look()]) } })

  const stops = [
    poll(app, LOOK_MS, look),
    poll(app, LOOK_MS, takeUp),
    poll(app, LOOK_MS, () => deliveries.look())
  ]

  app.addHook('preClose', async () => {
    for (const stop of stops) stop()
    const closed = Promise.all([local.close(), shared?.close(), scheduler.close(), deliveries.close(CLOSE_MS)])
    // A database that does not answer is not waited for.
    await Promise.race([closed, delay(CLOSE_MS, undefined, { ref: false })])
  })

  async function look (): Promise<void> {
    if (app.isDraining()) return
    let near = await list(NEAR_SECONDS, MAX_NEAR)
    if (near.unplanned.length > 0) {
      await scheduler.plan(near.unplanned)
      near = await list(NEAR_SECONDS, MAX_NEAR)
      nextShare = 0
    }
    const isShared = shared !== undefined && link!.isUp
    await local.keep(toTimed(near, isShared ? GRACE_MS : 0))
    if (isShared && Date.now() >= nextShare) await share()
  }

  async function takeUp (): Promise<void> {
    if (!app.isDraining()) await scheduler.takeUp()
  }

  /** Not waited for: what Redis does not take now it is given at the next look. */
  async function share (): Promise<void> {
    nextShare = Date.now() + SHARE_MS
    const all = toTimed(await list(null, MAX_SHARED))
    shared!.keep(all).catch(err => {
      nextShare = 0
      if (link!.isUp && !app.isDraining()) log.warn({ err }, 'schedules could not be shared by Redis: that is tried again')
    })
  }

  function list (seconds: number | null, limit: number): Promise<Listed> {
    return database.call<Listed>('list_schedules', { p_within_seconds: seconds, p_limit: limit })
  }

  async function fire (ids: string[]): Promise<void> {
    if (app.isDraining()) return
    try {
      await scheduler.fire(ids)
    } catch (err) {
      // What is still due is fired after the next look; of a database that is away the watch tells.
      if (await database.isUp()) log.warn({ err }, 'schedules could not be fired: that is tried again')
      throw err
    }
  }
}

/** Loaded with Redis, for it brings the library of cron expressions along. */
async function openShared (link: RedisLink, onDue: OnDue): Promise<Timer> {
  const { openBullTimer } = await import('../schedules/timer-bullmq.js')
  return openBullTimer(link.commands, link.openConnection(), onDue)
}

/** By this process's clock. @param late how many milliseconds after the time that they are due. */
function toTimed ({ now, timed }: Listed, late = 0): Timed[] {
  const ahead = Date.now() - Date.parse(now)
  return timed.map(({ nextRunAt, ...timing }) => ({ ...timing, at: Date.parse(nextRunAt) + ahead + late }))
}

export default fp(schedules, { name: 'schedules', dependencies: ['database', 'redis', 'executor', 'runs', 'tools'] })
