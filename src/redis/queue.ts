import { DelayedError, type Job, Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Claim } from '#shared/database/runs.ts'
import { ServiceError } from '#shared/errors.ts'
import type { Admission, LocalQueue, RunQueue } from '../executor/run/queue.js'
import type { SharedEventLog } from './event-log.js'
import { PREFIX, streamKey } from './keys.js'
import type { RedisLink } from './link.js'
import { defineScripts } from './scripts.js'
import type { StreamReader } from './stream-reader.js'

const NAME = 'runs'
/**
 * How long a job is its worker's without a word of it, and how often it is looked for those that are not any more. Whose
 * a run is the leases say, and a dead process's runs are claimed when these end; jobs follow.
 */
const LOCK_MS = 6_000
const STALLED_MS = 2_000
/** How often a job may be found without its worker; how often a run may break one down, the database counts. */
const MAX_STALLED = 1_000
/** How long a worker that lost its connection waits before it asks again, and who brings a run that was not taken. */
const RETRY_MS = 1_000
/** BullMQ's greatest priority. */
const MAX_ROUND = 2_097_151
/** A run of a user who has as many as may be waits until one of them ends, or for so long. */
const PARKED_MS = 5_000
/** A run that this process may not or cannot take now. */
const LATER_MS = 500
/** Where the database is away. */
const AWAY_MS = 3_000
const POSITIONS_MS = 1_000
/** Looks in which a run that waited is not found waiting, before its position is told no more: it may be parked. */
const MAX_MISSES = 30
/** A queue that has not taken a job by then will: until the run is put in again, where it has not. */
const ADD_TIMEOUT_MS = 2_000
/** How long jobs of runs that have stopped have to go back into the queue at the end. */
const CLOSE_MS = 2_000

/** The stream of runs that are to end. */
const CANCELS = `${PREFIX}:cancels`
const ROUND = `${PREFIX}:round`
const ROUNDS = `${PREFIX}:rounds`
const parkedKey = (userId: string) => `${PREFIX}:parked:${userId}`

export interface SharedQueueOptions {
  link: RedisLink
  /** A connection for jobs, which waits for Redis. */
  connection: Redis
  tail: StreamReader
  local: LocalQueue
  events: SharedEventLog
  maxConcurrent: number
  maxWaiting: number
  /** Takes a run for this process. @param isAgain what was told of it may be lost: as an attempt of its own. */
  claim (runId: string, isAgain: boolean): Promise<Claim>
  /** Somebody wants a run to end that may be under way here. */
  onCancel (runId: string): void
  log: Pick<Logger, 'warn'>
}

/**
 * `at`: when it was put in, in milliseconds and parts of them. `server`: the process of Redis that took it. `isAgain`:
 * the run was put in before, and Redis has lost it.
 */
interface RunJob { userId: string, at: number, server: string, isAgain?: boolean }
interface Waiter { runId: string, userId: string }
interface Waiting { told: number, misses: number }

/**
 * The queue of many processes: whoever begins a run puts it in, and whoever has a slot takes it out. Jobs are no more
 * than the runs' names; whose a run is the database says. While Redis is away each process serves its own.
 */
export class SharedQueue implements RunQueue {
  readonly #queue: Queue<RunJob>
  readonly #worker: Worker<RunJob> | undefined
  readonly #redis: Redis
  readonly #waitingKey: string
  /** Runs that began here and wait, to be told their positions. */
  #waiting = new Map<string, Waiting>()
  readonly #positions: NodeJS.Timeout
  /** Takes no job any more; one that it waited for may still come. */
  #isStopped = false
  #isClosed = false

  constructor (private readonly options: SharedQueueOptions) {
    const { link, connection, maxConcurrent } = options
    this.#redis = link.commands
    defineScripts(this.#redis)
    const shared = { connection, prefix: PREFIX, skipVersionCheck: true }
    this.#queue = new Queue(NAME, { ...shared, defaultJobOptions: { removeOnComplete: true, removeOnFail: true } })
    this.#waitingKey = this.#queue.toKey('prioritized')
    // The link tells of a Redis that is away.
    this.#queue.on('error', () => {})
    if (maxConcurrent > 0) {
      this.#worker = new Worker(NAME, (job, token) => this.#process(job, token!), {
        ...shared,
        concurrency: maxConcurrent,
        lockDuration: LOCK_MS,
        stalledInterval: STALLED_MS,
        maxStalledCount: MAX_STALLED,
        runRetryDelay: RETRY_MS
      })
      this.#worker.on('error', () => {})
    }
    // From the beginning: what has ended is not under way here, and who begins at the end may miss some. Who does not
    // hear it at all hears it from the database.
    options.tail.watch(CANCELS, '0', entries => { for (const { value } of entries) options.onCancel(value) })
    this.#positions = setInterval(() => this.#tellPositions(), POSITIONS_MS).unref()
  }

  async admit (userId: string): Promise<Admission | undefined> {
    const waiting = await this.#count()
    if (waiting === undefined) return this.options.local.admit(userId)
    // Every run is in the queue for a moment, even where none may wait.
    if (waiting >= Math.max(1, this.options.maxWaiting)) return undefined
    return {
      owner: null,
      waits: true,
      accept: ({ run: { runId } }) => {
        this.#waiting.set(runId, { told: Infinity, misses: MAX_MISSES })
        this.#bring({ runId, userId })
      },
      release () {}
    }
  }

  /** Puts runs in that are not in it any more; those that are stay where they are. Throws where Redis is away. */
  async restore (runs: Waiter[]): Promise<void> {
    await this.#put(runs, { isAgain: true })
  }

  /** Puts in a run that began here, again and again: others would miss it later. */
  #bring (run: Waiter): void {
    this.#put([run]).catch(() => { if (!this.#isClosed) setTimeout(() => this.#bring(run), RETRY_MS).unref() })
  }

  async #put (runs: Waiter[], facts: Partial<RunJob> = {}): Promise<void> {
    if (!this.options.link.isUp) throw new Error('Redis is away')
    const rounds = await this.#redis.takeRounds(this.#waitingKey, ROUND, ROUNDS, this.#queue.toKey(''), MAX_ROUND,
      ...runs.flatMap(({ runId, userId }) => [runId, userId]))
    const { server } = this.options.link
    const jobs = runs.flatMap(({ runId, userId }, index) => {
      const priority = rounds[index]!
      const data = { userId, at: performance.timeOrigin + performance.now(), server, ...facts }
      return priority === 0 ? [] : { name: 'run', data, opts: { jobId: runId, priority } }
    })
    await withTimeout(this.#queue.addBulk(jobs), ADD_TIMEOUT_MS)
  }

  cancel (runId: string): void {
    this.#redis.xadd(CANCELS, 'MAXLEN', '~', 1000, '*', 'runId', runId).catch(() => {})
  }

  async stop (): Promise<void> {
    this.#isStopped = true
    // A worker that only pauses takes what it waits for; one that closes ends its jobs first, which `close` waits for.
    this.#closeWorker().catch(() => {})
  }

  /** After the runs have stopped: their jobs go back. */
  async close (): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#positions)
    await withTimeout(Promise.all([this.#closeWorker(), this.#queue.close()]), CLOSE_MS).catch(() => {})
  }

  /** Beside a Redis that is away jobs cannot go back, and a worker that waits for them would keep its timers. */
  async #closeWorker (): Promise<void> {
    await this.#worker?.close(!this.options.link.isUp || this.#redis.status !== 'ready')
  }

  /** How many wait; undefined: Redis does not say. */
  async #count (): Promise<number | undefined> {
    if (!this.options.link.isUp) return undefined
    try {
      const [waiting, delayed] = await Promise.all([this.#redis.zcard(this.#waitingKey), this.#redis.zcard(this.#queue.toKey('delayed'))])
      return waiting + delayed
    } catch {
      return undefined
    }
  }

  async #process (job: Job<RunJob>, token: string): Promise<void> {
    // Where Redis fails before the run was claimed: a job that failed would be gone, and its run missed much later.
    const later = this.#isStopped ? 0 : await this.#make(job).catch(() => LATER_MS)
    if (later === undefined) return
    await job.moveToDelayed(Date.now() + later, token)
    if (later === PARKED_MS) await this.#recall(job)
    throw new DelayedError()
  }

  /** Whose turn came before it was delayed could not be promoted then. */
  async #recall (job: Job<RunJob>): Promise<void> {
    try {
      if (await this.#redis.zscore(parkedKey(job.data.userId), job.id!) === null) await job.promote()
    } catch {
      // It is tried again by itself, or another has just promoted it.
    }
  }

  /** Makes a run; returns in how many milliseconds it is to be tried again, where it is. */
  async #make ({ id, data, priority: round }: Job<RunJob>): Promise<number | undefined> {
    const runId = id!
    // Positions that were told are of the first attempt, too; where they may be forgotten the run begins a new one.
    const told = await this.options.events.readLatest(runId)
    const isDoubtful = data.isAgain === true || data.server !== this.options.link.server
    const { claimed, refused } = await this.#claimOrPark(runId, data, isDoubtful)
    if (refused === 'busy') return PARKED_MS
    if (!claimed) return refused === 'ended' || refused === 'owned' ? undefined : refused ? LATER_MS : AWAY_MS
    this.#redis.pipeline().serveRound(ROUND, round).zrem(parkedKey(data.userId), runId).exec().catch(() => {})
    const ending = await this.options.local.takeOver(claimed, claimed.run.attempt === 1 ? told.map(({ event }) => event) : [])
    await this.releaseParked(data.userId)
    return ending === 'released' ? LATER_MS : undefined
  }

  /** One whose user has as many as may be is parked; should one of these end just then, it is not seen by that. */
  async #claimOrPark (runId: string, { userId, at }: RunJob, isDoubtful: boolean): Promise<Claim> {
    const claim = await this.#claim(runId, isDoubtful)
    if (claim.refused !== 'busy') return claim
    const key = parkedKey(userId)
    const [added] = (await this.#redis.pipeline().zadd(key, at, runId).pexpire(key, 2 * PARKED_MS).exec())!
    // One that a full Redis does not take would look like one whose turn has come.
    if (added![0]) throw added![0]
    return this.#claim(runId, isDoubtful)
  }

  /** Nothing: the database is away, which others tell of. */
  async #claim (runId: string, isDoubtful: boolean): Promise<Claim> {
    try {
      return await this.options.claim(runId, isDoubtful)
    } catch (err) {
      const isAway = err instanceof ServiceError && err.code.startsWith('database_')
      if (!isAway) this.options.log.warn({ err, runId }, '[AGENT-EXECUTOR] could not be claimed')
      return {}
    }
  }

  /** One of the user's runs has ended: the first of those that wait for that need not wait any more. */
  async releaseParked (userId: string): Promise<void> {
    try {
      for (;;) {
        const [runId] = await this.#redis.zpopmin(parkedKey(userId))
        if (!runId) return
        const job = await this.#queue.getJob(runId)
        // One that waits no more leaves it to the next.
        if (await job?.promote().then(() => true, () => false)) return
      }
    } catch {
      // It is tried again by itself.
    }
  }

  async #tellPositions (): Promise<void> {
    if (!this.options.link.isUp || this.#waiting.size === 0) return
    const waiting = [...this.#waiting]
    const pipeline = this.#redis.pipeline()
    for (const [runId, { told }] of waiting) pipeline.tellPosition(this.#waitingKey, streamKey(runId), runId, Math.min(told, MAX_ROUND))
    const results = await pipeline.exec().catch(() => undefined)
    for (const [index, [runId, state]] of waiting.entries()) {
      const position = results?.[index]?.[1] as number | undefined
      if (position === undefined) continue
      if (position > 0) Object.assign(state, { told: position, misses: 0 })
      else if (++state.misses > MAX_MISSES) this.#waiting.delete(runId)
    }
  }
}

async function withTimeout<T> (promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => { timer = setTimeout(() => reject(new Error('Redis does not answer')), ms) })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}
