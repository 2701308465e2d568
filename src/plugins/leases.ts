import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { tellPosition } from '../executor/event-log.js'
import type { AgentInput } from '../executor/agent-context.js'
import type { DoneStep } from '../executor/step-record.js'
import { restore, type Trace } from '../executor/trace.js'
import type { Run } from '../schemas.js'
import { repeat } from './repeat.js'

declare module 'fastify' {
  interface FastifyInstance {
    leases: {
      /** This process, as the owner of its runs. */
      readonly owner: string
      readonly seconds: number
    }
  }
}

/** How long a run stays with a process that says nothing: after a crash nobody goes on with it sooner. */
const LEASE_SECONDS = 6
/** How often the process says that it lives, and looks for runs to take over and for the end of those that run elsewhere. */
const LOOK_MS = 1_000
/** Where nobody has unfinished runs that is enough less often, once the first minutes of a deploy are over. */
const IDLE_LOOK_MS = 15_000
const ALERT_MS = 5 * 60_000
const MAX_CLAIM = 50
/** A database that does not answer is not waited for at the end. */
const HAND_OVER_MS = 3_000
const ERASE_MS = 60 * 60_000
const ERASE_LIMIT = 500

interface Claimed { run: Run, userId: string, cancel: boolean, input: AgentInput, steps: DoneStep[] }
interface Ended { run: Run, trace: Trace | null }

/** A run belongs to a process for as long as that says that it lives; what is left behind is taken over. */
async function leases (app: FastifyInstance): Promise<void> {
  const { database, executor, events, queue, config } = app
  const owner = randomUUID()
  const startedAt = Date.now()
  let nextClaim = 0
  let doubtfulUntil = 0
  let unknownBefore = new Set<string>()
  app.decorate('leases', { owner, seconds: LEASE_SECONDS })

  // The data directory is this process's alone: whoever had runs before is dead.
  if (config.database.kind === 'embedded') await database.call('release_runs', { p_owner: null, p_crashed: true })

  const stopLooking = repeat(app, LOOK_MS, look)
  const stopTelling = repeat(app, LOOK_MS, tellEnded)
  const stopErasing = repeat(app, ERASE_MS, erase)

  app.addHook('preClose', async () => {
    // Readers here of runs elsewhere have waited in vain.
    for (const runId of events.awaited()) events.forget(runId)
    await Promise.race([handOver(), delay(HAND_OVER_MS, undefined, { ref: false })])
  })

  /** After the executor has let go of all: from here on others may have them. */
  async function handOver (): Promise<void> {
    try {
      await Promise.all([stopLooking(), stopTelling(), stopErasing()])
      await database.call('release_runs', { p_owner: owner })
    } catch (err) {
      app.log.warn({ err }, 'runs could not be handed over: they are taken over when their leases end')
    }
  }

  /** First its own life, then others' deaths: after a time without database it would else take over what it has. */
  async function look (): Promise<void> {
    if (executor.size > 0) await heartbeat()
    await claim()
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
      if (before.get(runId) === attempt && owned[runId] !== attempt) executor.lose(runId)
    }
    // What began or was claimed by an answer that never arrived: given up when it is still unknown at the next look.
    const unknown = Object.keys(owned).filter(runId => !now.has(runId) && !before.has(runId))
    const given = unknown.filter(runId => unknownBefore.has(runId))
    unknownBefore = new Set(unknown)
    if (given.length > 0) await database.call('release_runs', { p_owner: owner, p_run_ids: given })
  }

  /** Takes over what nobody has, as far as there are slots. */
  async function claim (): Promise<void> {
    const room = Math.min(MAX_CLAIM, config.maxConcurrentRuns - queue.running)
    if (room <= 0 || app.isDraining() || Date.now() < nextClaim) return
    const { claimed, outstanding } = await database.call<{ claimed: Claimed[], outstanding: boolean }>('claim_runs', {
      p_owner: owner, p_lease_seconds: LEASE_SECONDS, p_limit: room, p_python: await app.python.isAvailable()
    })
    claimed.forEach(takeOver)
    const isAlert = outstanding || Date.now() - startedAt < ALERT_MS
    nextClaim = isAlert ? 0 : Date.now() + IDLE_LOOK_MS
  }

  function takeOver ({ run, userId, cancel, input, steps }: Claimed): void {
    app.log.info({ runId: run.runId, attempt: run.attempt, userId }, '[AGENT-EXECUTOR] taken over')
    // Told only after the attempt has its own record.
    let onMove = (_position: number) => {}
    const ticket = queue.force(userId, position => onMove(position))
    executor.launch({ ...input, steps, run, userId, ticket })
    onMove = tellPosition(events, run.runId)
    if (ticket.position > 0) onMove(ticket.position)
    if (cancel) executor.cancel(run.runId)
  }

  /** Readers here of runs elsewhere get the whole of it when it has ended. */
  async function tellEnded (): Promise<void> {
    const awaited = events.awaited().filter(runId => !executor.progressOf(runId))
    if (awaited.length === 0) return
    const ended = await database.call<Ended[]>('get_ended_runs', { p_run_ids: awaited })
    for (const { run, trace } of ended) {
      if (events.last(run.runId) === undefined) restore(events, run, trace)
    }
  }

  async function erase (): Promise<void> {
    let erased
    do {
      ({ erased } = await database.call<{ erased: number }>('erase_old_runs', {
        p_days: config.runRetentionDays, p_limit: ERASE_LIMIT
      }))
    } while (erased === ERASE_LIMIT && !app.isDraining())
  }
}

export default fp(leases, { name: 'leases', dependencies: ['database', 'events', 'executor'] })
