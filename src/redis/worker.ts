import { DelayedError, type Job, type Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Claim } from '#shared/database/runs.ts'
import { ServiceError } from '#shared/errors.ts'
import type { EventLog } from '../executor/events/event-log.js'
import type { LocalQueue } from '../executor/run/queue.js'
import { parkedKey, PREFIX } from './keys.js'
import type { RedisLink } from './link.js'
import { park, PARKED_MS, promoteIfUnparked, promoteParked } from './parking.js'
import { serveRound } from './rounds.js'
import { QUEUE_NAME, type RunJob } from './run-job.js'

/**
 * How long a job stays locked without a renewal, and how often expired locks are looked for. The locks follow the leases,
 * which decide who owns a run: a dead process's runs are claimed when its leases expire.
 */
const LOCK_MS = 6_000
const STALLED_MS = 2_000
/** How often a job's lock may expire. It is not the limit of crashes per run: the database counts those. */
const MAX_STALLED = 1_000
/** The pause before a worker that has lost its connection fetches again. */
const RETRY_MS = 1_000
/** The delay of a job whose run this process cannot claim or has released. */
const LATER_MS = 500
/** The delay of a job while the database is unavailable. */
const DATABASE_DOWN_MS = 3_000

export interface RunWorkerOptions {
  link: RedisLink
  /** The connection for jobs, which waits while Redis is away. */
  connection: Redis
  /** How many runs this process executes at a time. */
  maxConcurrent: number
  local: LocalQueue
  events: Pick<EventLog, 'readLatest'>
  /**
   * Claims a run for this process.
   * @param isAgain whether Redis may have lost positions that were emitted for the run. The claim must begin another attempt
   * then, or numbers of events would be used twice.
   */
  claim (runId: string, isAgain: boolean): Promise<Claim>
  log: Pick<Logger, 'warn'>
}

/** Takes jobs from the queue, claims their runs, and executes them in this process. */
export class RunWorker {
  readonly #worker: Worker<RunJob>
  readonly #redis: Redis
  #isStopped = false

  constructor (private readonly queue: Queue<RunJob>, private readonly options: RunWorkerOptions) {
    this.#redis = options.link.commands
    this.#worker = new Worker(QUEUE_NAME, (job, token) => this.#process(job, token!), {
      connection: options.connection,
      prefix: PREFIX,
      skipVersionCheck: true,
      concurrency: options.maxConcurrent,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_MS,
      maxStalledCount: MAX_STALLED,
      runRetryDelay: RETRY_MS
    })
    // The link reports that Redis is away.
    this.#worker.on('error', () => {})
  }

  /**
   * Takes no further job. A job that arrives all the same, because the worker was waiting for it, goes back to the queue. A
   * worker that is only paused would process it, so this one is closed; that completes when its jobs have ended.
   */
  stop (): void {
    this.#isStopped = true
    this.close().catch(() => {})
  }

  /**
   * Waits until the jobs have ended, unless Redis is away: then they cannot go back to the queue, and waiting for them would
   * keep timers alive.
   */
  async close (): Promise<void> {
    await this.#worker.close(!this.options.link.isUp || this.#redis.status !== 'ready')
  }

  async #process (job: Job<RunJob>, token: string): Promise<void> {
    // If Redis fails before the claim, the job is delayed. A failed job would be removed, and its run missed much later.
    const delayMs = this.#isStopped ? 0 : await this.#execute(job).catch(() => LATER_MS)
    if (delayMs === undefined) return
    await job.moveToDelayed(Date.now() + delayMs, token)
    if (delayMs === PARKED_MS) await promoteIfUnparked(this.#redis, job)
    throw new DelayedError()
  }

  /**
   * Claims and executes a run. Returns the delay in milliseconds after which the job is to be tried again, or undefined if it
   * is done. A job is done, too, if its run has ended or has an owner.
   */
  async #execute ({ id, data, priority: round }: Job<RunJob>): Promise<number | undefined> {
    const runId = id!
    // The positions emitted so far belong to the first attempt. If Redis may have lost some, the run begins another one.
    const emitted = await this.options.events.readLatest(runId)
    const isDoubtful = data.isAgain === true || data.server !== this.options.link.server
    const { claimed, refused } = await this.#claimOrPark(runId, data, isDoubtful)
    if (refused === 'busy') return PARKED_MS
    if (!claimed) return refused === 'ended' || refused === 'owned' ? undefined : refused ? LATER_MS : DATABASE_DOWN_MS
    serveRound(this.#redis.pipeline(), round).zrem(parkedKey(data.userId), runId).exec().catch(() => {})
    const ending = await this.options.local.launchClaimed(claimed, claimed.run.attempt === 1 ? emitted.map(({ event }) => event) : [])
    await promoteParked(this.#redis, this.queue, data.userId)
    return ending === 'released' ? LATER_MS : undefined
  }

  /** Parks a run whose user is busy, and claims again: a run of the user may have ended before this one was parked. */
  async #claimOrPark (runId: string, data: RunJob, isDoubtful: boolean): Promise<Claim> {
    const claim = await this.#claim(runId, isDoubtful)
    if (claim.refused !== 'busy') return claim
    await park(this.#redis, runId, data)
    return this.#claim(runId, isDoubtful)
  }

  /** Returns an empty claim if the database is unavailable, which is reported elsewhere, or fails. */
  async #claim (runId: string, isDoubtful: boolean): Promise<Claim> {
    try {
      return await this.options.claim(runId, isDoubtful)
    } catch (err) {
      const isDatabaseDown = err instanceof ServiceError && err.code.startsWith('database_')
      if (!isDatabaseDown) this.options.log.warn({ err, runId }, '[AGENT-EXECUTOR] could not be claimed')
      return {}
    }
  }
}
