import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Job, type Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Claim, ClaimedRun } from '#shared/database/runs.ts'
import { ServiceError } from '#shared/errors.ts'
import type { RunEvent } from '#shared/schemas.ts'
import type { EventLog } from '../executor/events/event-log.js'
import type { LocalQueue } from '../executor/run/queue.js'
import type { Slots, SlotTicket } from '../lib/slots.js'
import { Claims, type ClaimRuns } from './jobs/claims.js'
import { JobFetcher } from './jobs/job-fetcher.js'
import { parkedKey, PREFIX } from './keys.js'
import type { RedisLink } from './link.js'
import { park, PARKED_MS, promoteIfUnparked, promoteParked } from './jobs/parking.js'
import { RoundMarker } from './jobs/rounds.js'
import { QUEUE_NAME, type RunJob } from './run-job.js'
import { STREAM_SECONDS } from './run-stream.js'

/**
 * How long a job stays locked, and how often expired locks are looked for. A job lasts from when it is taken until its run is
 * claimed: from then on the lease decides who owns the run.
 */
const LOCK_MS = 6_000
const STALLED_MS = 2_000
/** How often a job's lock may expire. It is not the limit of crashes per run: the database counts those. */
const MAX_STALLED = 1_000
/** The pause before a worker that has lost its connection looks again for expired locks. */
const RETRY_MS = 1_000
/** The delay of a job whose run this process cannot claim. */
const LATER_MS = 500
/** The delay of a job while the database is unavailable. */
const DATABASE_DOWN_MS = 3_000
/** How long jobs that are being claimed have to go back to the queue when the process ends. */
const CLOSE_MS = 1_000

export interface RunWorkerOptions {
  link: RedisLink
  /** The connection for jobs, which waits while Redis is away. */
  connection: Redis
  slots: Slots
  local: LocalQueue
  events: Pick<EventLog, 'readLatest'>
  claimRuns: ClaimRuns
  log: Pick<Logger, 'warn'>
}

/** A job's run that this process has claimed, with the events that were emitted before. */
interface ClaimedJob { claimed: ClaimedRun, emitted: RunEvent[], delayMs?: undefined }

interface Delay { claimed?: undefined, delayMs: number }

/** Takes jobs from the queue when slots are free, claims their runs, and executes them in this process. */
export class RunWorker {
  readonly #worker: Worker<RunJob>
  readonly #fetcher: JobFetcher
  readonly #claims: Claims
  readonly #redis: Redis
  readonly #rounds: RoundMarker
  /** What is done with jobs that this process has locked. */
  #pending = new Set<Promise<void>>()

  constructor (private readonly queue: Queue<RunJob>, private readonly options: RunWorkerOptions) {
    const { link, connection, slots, claimRuns } = options
    this.#redis = link.commands
    this.#rounds = new RoundMarker(this.#redis)
    this.#claims = new Claims(claimRuns)
    this.#worker = new Worker(QUEUE_NAME, null, {
      connection,
      prefix: PREFIX,
      skipVersionCheck: true,
      autorun: false,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_MS,
      maxStalledCount: MAX_STALLED,
      runRetryDelay: RETRY_MS
    })
    // The link reports that Redis is away.
    this.#worker.on('error', () => {})
    this.#fetcher = new JobFetcher(this.#worker, randomUUID(), slots,
      (job, slot) => this.#track(this.#process(job, slot)),
      job => this.#track(this.#giveBack(job)))
    this.#worker.startStalledCheckTimer().catch(() => {})
    this.#fetcher.fetch()
  }

  /** Whether the last look into the queue has found a job, so that there may be more. */
  get mayHaveJobs (): boolean { return this.#fetcher.mayHaveJobs }

  /** Takes no further job. A job that arrives all the same, because the worker was waiting for it, goes back to the queue. */
  stop (): void {
    this.#fetcher.stop()
  }

  /** Waits until jobs that are being claimed are done with, unless Redis is away: then they cannot go back to the queue. */
  async close (): Promise<void> {
    this.stop()
    const isConnected = this.options.link.isUp && this.#redis.status === 'ready'
    if (isConnected) await Promise.race([Promise.all(this.#pending), delay(CLOSE_MS, undefined, { ref: false })])
    // Not gracefully: that would wait until the connection that waits for jobs has an answer.
    await this.#worker.close(true)
  }

  /** BullMQ wakes nobody for a job with a priority that goes back, and whoever it has woken for it before has found nothing. */
  async #giveBack (job: Job<RunJob>): Promise<void> {
    await job.moveToWait(job.token)
    await this.#redis.zadd(this.queue.toKey('marker'), 0, '0')
  }

  /** A job with which something fails is found by its lock, which expires. */
  #track (work: Promise<unknown>): void {
    const pending: Promise<void> = work.then(() => {}, () => {}).finally(() => this.#pending.delete(pending))
    this.#pending.add(pending)
  }

  /** Executes the run of a job. The job is done once its run has an owner, this process or another one, or has ended. */
  async #process (job: Job<RunJob>, slot: SlotTicket): Promise<void> {
    // If Redis fails before the claim, the job is delayed. A failed job would be removed, and its run missed much later.
    const claim = await this.#claimRun(job).catch((): Delay => ({ delayMs: LATER_MS }))
    if (claim?.claimed) this.#launch(job, claim, slot)
    else slot.release()
    if (claim?.delayMs === undefined) {
      await job.moveToCompleted(null, job.token!, false)
      return
    }
    await job.moveToDelayed(Date.now() + claim.delayMs, job.token!)
    if (claim.delayMs === PARKED_MS) await promoteIfUnparked(this.#redis, job)
  }

  #launch ({ id, data: { userId }, priority: round, attemptsStarted }: Job<RunJob>, { claimed, emitted }: ClaimedJob, slot: SlotTicket): void {
    this.#rounds.serve(round)
    // Only what was taken before was parked.
    if (attemptsStarted > 1) this.#redis.zrem(parkedKey(userId), id!).catch(() => {})
    this.options.local.launchClaimed(claimed, claimed.run.attempt === 1 ? emitted : [], slot).then(ending => {
      // After a settlement the database says whether another run of the user waits.
      if (ending !== 'settled') promoteParked(this.#redis, this.queue, userId)
    })
  }

  /**
   * Claims the run of a job. Returns undefined if it has an owner or has ended, and `delayMs` if the job is to be tried again
   * after so many milliseconds.
   */
  async #claimRun ({ id, data }: Job<RunJob>): Promise<ClaimedJob | Delay | undefined> {
    const runId = id!
    // The positions emitted so far belong to the first attempt. If Redis may have lost some, the run begins another one.
    const emitted = await this.options.events.readLatest(runId)
    const isDoubtful = data.isAgain === true || data.server !== this.options.link.server || Date.now() - data.at > STREAM_SECONDS * 1000
    const { claimed, refused } = await this.#claimOrPark(runId, data, isDoubtful)
    if (claimed) return { claimed, emitted: emitted.map(({ event }) => event) }
    if (refused === 'ended' || refused === 'owned') return undefined
    return { delayMs: refused === 'busy' ? PARKED_MS : refused ? LATER_MS : DATABASE_DOWN_MS }
  }

  /** Parks a run whose user is busy, and claims again: a run of the user may have ended before this one was parked. */
  async #claimOrPark (runId: string, data: RunJob, isDoubtful: boolean): Promise<Claim> {
    const claim = await this.#claim(runId, isDoubtful)
    if (claim.refused !== 'busy') return claim
    await park(this.#redis, runId, data)
    return this.#claim(runId, isDoubtful)
  }

  /** Returns an empty claim if the database is unavailable, which is reported elsewhere, or fails. */
  async #claim (runId: string, isAgain: boolean): Promise<Claim> {
    try {
      return await this.#claims.claim({ runId, isAgain })
    } catch (err) {
      const isDatabaseDown = err instanceof ServiceError && err.code.startsWith('database_')
      if (!isDatabaseDown) this.options.log.warn({ err, runId }, '[AGENT-EXECUTOR] could not be claimed')
      return {}
    }
  }
}
