import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { LEASE_SECONDS } from '../executor/run/lease.js'
import type { ClaimedRun } from '../executor/run/queue.js'
import { poll } from '../lib/poll.js'

/** How often the process says that it lives, and looks for runs to take over. */
const LOOK_MS = 1_000
/** Where nobody has unfinished runs that is enough less often, once the first minutes of a deploy are over. */
const IDLE_LOOK_MS = 15_000
const ALERT_MS = 5 * 60_000
const MAX_CLAIM = 50
/** How often, and how many at a time, runs are put into the shared queue that Redis may have lost. */
const RESTORE_MS = 30_000
const MAX_RESTORE = 1_000
/** A database that does not answer is not waited for at the end. */
const HAND_OVER_MS = 2_000

/** A run belongs to a process for as long as that says that it lives; what is left behind is taken over. */
async function leases (app: FastifyInstance): Promise<void> {
  const { database, executor, events, slots, localQueue, sharedQueue, redis, config, owner } = app
  const startedAt = Date.now()
  let nextClaim = 0
  let nextRestore = 0
  let doubtfulUntil = 0
  let unknownBefore = new Set<string>()

  // The data directory is this process's alone: whoever had runs before is dead.
  if (config.database.kind === 'embedded') await database.call('release_runs', { p_owner: null, p_crashed: true })

  const stopLooking = poll(app, LOOK_MS, look)
  redis?.link.on('cleared', () => { nextRestore = nextClaim = 0 })

  app.addHook('preClose', async () => {
    // Readers here of runs elsewhere have waited in vain.
    for (const runId of events.remoteRuns()) events.evict(runId)
    await Promise.race([handOver(), delay(HAND_OVER_MS, undefined, { ref: false })])
  })

  /** After the executor has let go of all: from here on others may have them. */
  async function handOver (): Promise<void> {
    try {
      await stopLooking()
      await database.call('release_runs', { p_owner: owner })
    } catch (err) {
      app.log.warn({ err }, 'runs could not be handed over: they are taken over when their leases end')
    }
  }

  /** First its own life, then others' deaths: after a time without database it would else take over what it has. */
  async function look (): Promise<void> {
    if (executor.size > 0) await heartbeat()
    if (app.isDraining() || Date.now() < nextClaim) return
    const outstanding = await takeOver()
    const isAlert = outstanding || Date.now() - startedAt < ALERT_MS
    nextClaim = isAlert ? 0 : Date.now() + IDLE_LOOK_MS
  }

  async function heartbeat (): Promise<void> {
    const { lapsed, owned, cancel } = await database.call<{ lapsed: boolean, owned: number, cancel: string[] }>(
      'heartbeat_worker', { p_owner: owner, p_lease_seconds: LEASE_SECONDS })
    for (const runId of cancel) executor.cancel(runId)
    // Another's claim may be under way while we speak: what was lost is looked for a while longer.
    if (lapsed) doubtfulUntil = Date.now() + 2 * LEASE_SECONDS * 1000
    if (Date.now() < doubtfulUntil || owned !== executor.size || unknownBefore.size > 0) await reconcile()
  }

  /** Holds what runs here against what the database says runs here. */
  async function reconcile (): Promise<void> {
    const before = executor.attempts
    const owned = await database.call<Record<string, number>>('get_owned_runs', { p_owner: owner })
    const now = executor.attempts
    // What another process has by now; neither what began nor what ended while we asked.
    for (const [runId, attempt] of now) {
      if (before.get(runId) === attempt && owned[runId] !== attempt) executor.abandon(runId)
    }
    // What began or was claimed by an answer that never arrived: given up when it is still unknown at the next look.
    const unknown = Object.keys(owned).filter(runId => !now.has(runId) && !before.has(runId))
    const given = unknown.filter(runId => unknownBefore.has(runId))
    unknownBefore = new Set(unknown)
    if (given.length > 0) await database.call('release_runs', { p_owner: owner, p_run_ids: given })
  }

  /** Beside a shared queue only the dead's runs are taken over here: the others are in it, or are put in again. */
  async function takeOver (): Promise<boolean> {
    if (!sharedQueue || !redis?.link.isUp) return claim(false)
    const [claimed, restored] = [await claim(true), await restore()]
    return claimed || restored
  }

  /** Takes over what nobody has, as far as there are slots; returns whether anything is unfinished anywhere. */
  async function claim (onlyLapsed: boolean): Promise<boolean> {
    const room = Math.min(MAX_CLAIM, config.maxConcurrentRuns - slots.running)
    if (room <= 0) return config.maxConcurrentRuns > 0
    const { claimed, outstanding } = await database.call<{ claimed: ClaimedRun[], outstanding: boolean }>('claim_runs', {
      p_owner: owner,
      p_lease_seconds: LEASE_SECONDS,
      p_limit: room,
      p_python: await app.python.isAvailable(),
      // Beside Redis others may have told of it already.
      p_keep_first: !redis,
      p_lapsed: onlyLapsed
    })
    for (const run of claimed) takeOn(run)
    return outstanding
  }

  function takeOn (claimed: ClaimedRun): void {
    const { run: { runId, attempt }, userId } = claimed
    app.log.info({ runId, attempt, userId }, '[AGENT-EXECUTOR] taken over')
    localQueue.launchClaimed(claimed).then(() => sharedQueue?.promoteParked(userId))
  }

  /** Puts into the queue what waits and is not in it: given up by a process that ended, or lost by Redis. */
  async function restore (): Promise<boolean> {
    const isFull = Date.now() >= nextRestore
    const { runs, outstanding } = await database.call<{ runs: Array<{ runId: string, userId: string }>, outstanding: boolean }>(
      'list_waiting_runs', { p_limit: MAX_RESTORE, p_queued: isFull })
    // Where Redis goes away meanwhile the next look finds them again.
    const isDone = runs.length === 0 || await sharedQueue!.restore(runs).then(() => true, () => false)
    if (isFull && isDone) nextRestore = Date.now() + RESTORE_MS
    return outstanding
  }
}

export default fp(leases, { name: 'leases', dependencies: ['database', 'events', 'executor', 'queue'] })
