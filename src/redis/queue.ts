import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Admission, RunQueue } from '../executor/run/queue.js'
import { isBeyondShare } from '../lib/share.js'
import { CANCELS, PREFIX } from './keys.js'
import { promoteParked } from './jobs/parking.js'
import { QueuePositions } from './positions.js'
import { countWaiting, takeRounds } from './jobs/rounds.js'
import { QUEUE_NAME, type QueuedRun, type RunJob } from './run-job.js'
import { defineScripts } from './scripts/scripts.js'
import type { StreamReader } from './stream-reader.js'
import { RunWorker, type RunWorkerOptions } from './worker.js'

/** The pause before a run that Redis did not accept is added again. */
const RETRY_MS = 1_000
/** How long to wait for Redis to accept jobs. It may still accept them later, which does no harm. */
const ADD_TIMEOUT_MS = 2_000
/** How long the connections have to close when the process ends. */
const CLOSE_MS = 2_000
/** How many requests to cancel are kept. */
const MAX_CANCELS = 1000

export interface SharedQueueOptions extends RunWorkerOptions {
  /** How many runs this process executes at a time; 0: it executes none. */
  maxConcurrent: number
  /** How many runs of one user may be under way over all processes. */
  maxPerUser: number
  /** How many runs may wait, over all processes, before users are refused who have a tenth of them or more. */
  maxWaiting: number
  streams: StreamReader
  /** A run, which this process may execute, is to be cancelled. */
  onCancel (runId: string): void
}

/**
 * The queue of several processes. A run is executed where it begins if it need not wait; otherwise it is added to the queue,
 * from which each process takes runs when it has a slot. The jobs only name the runs; the database knows who owns them. While
 * Redis is away each process executes its own runs.
 */
export class SharedQueue implements RunQueue {
  readonly #queue: Queue<RunJob>
  readonly #redis: Redis
  readonly #waitingKey: string
  readonly #positions: QueuePositions
  readonly #worker: RunWorker | undefined
  #isStopped = false
  #isClosed = false

  constructor (private readonly options: SharedQueueOptions) {
    const { link, connection, maxConcurrent, streams } = options
    this.#redis = link.commands
    defineScripts(this.#redis)
    this.#queue = new Queue(QUEUE_NAME, {
      connection,
      prefix: PREFIX,
      skipVersionCheck: true,
      defaultJobOptions: { removeOnComplete: true, removeOnFail: true }
    })
    // The link reports that Redis is away.
    this.#queue.on('error', () => {})
    this.#waitingKey = this.#queue.toKey('prioritized')
    this.#positions = new QueuePositions(link, this.#waitingKey)
    if (maxConcurrent > 0) this.#worker = new RunWorker(this.#queue, options)
    // From the beginning: a reader that began at the end could miss requests, and those for ended runs have no effect.
    streams.watch(CANCELS, '0', entries => { for (const { value } of entries) options.onCancel(value) })
  }

  async admit (userId: string, hasToWait = false): Promise<Admission | undefined> {
    return (hasToWait ? undefined : this.#admitNow(userId)) ?? await this.#admitToQueue(userId)
  }

  /**
   * Admits a run that may begin here: there is a slot, and as far as is known here nobody waits. Whether the user's limit allows
   * it, and nobody waits elsewhere, is decided by the database when the run begins.
   */
  #admitNow (userId: string): Admission | undefined {
    const { link, local, maxPerUser } = this.options
    if (!link.isUp || this.#isStopped || this.#worker?.mayHaveJobs) return undefined
    const admission = local.admitNow(userId)
    return admission && { ...admission, limits: { maxPerUser, room: local.room } }
  }

  async #admitToQueue (userId: string): Promise<Admission | undefined> {
    const waiting = await this.#count(userId)
    if (!waiting) return this.options.local.admit(userId)
    // Every run is in the queue for a moment, so one must be allowed even if none may wait.
    if (isBeyondShare(Math.max(1, this.options.maxWaiting), waiting.total + 1, waiting.ofUser + 1)) return undefined
    return {
      owner: null,
      waits: true,
      accept: ({ run: { runId } }) => this.#enqueue({ runId, userId }),
      release () {}
    }
  }

  /**
   * Adds runs that Redis has lost. Runs that are still in the queue keep their places.
   * @throws if Redis is away or does not answer.
   */
  async restore (runs: QueuedRun[]): Promise<void> {
    await this.#add(runs, { isAgain: true })
  }

  /** Adds a run that began here, and retries until Redis accepts it: `restore` would find it much later. */
  #enqueue (run: QueuedRun): void {
    this.#add([run]).then(
      () => this.#positions.add(run.runId),
      () => { if (!this.#isClosed) setTimeout(() => this.#enqueue(run), RETRY_MS).unref() }
    )
  }

  async #add (runs: QueuedRun[], fields: Partial<RunJob> = {}): Promise<void> {
    const { link } = this.options
    if (!link.isUp) throw new Error('Redis is away')
    const rounds = await takeRounds(this.#redis, this.#waitingKey, this.#queue.toKey(''), runs)
    const { server } = link
    const jobs = runs.flatMap(({ runId, userId }, index) => {
      const priority = rounds[index]!
      const data = { userId, at: performance.timeOrigin + performance.now(), server, ...fields }
      return priority === 0 ? [] : { name: 'run', data, opts: { jobId: runId, priority } }
    })
    await withTimeout(this.#queue.addBulk(jobs), ADD_TIMEOUT_MS)
  }

  watchPlace (runId: string): void { this.#positions.add(runId) }

  cancel (runId: string): void {
    this.#redis.xadd(CANCELS, 'MAXLEN', '~', MAX_CANCELS, '*', 'runId', runId).catch(() => {})
  }

  /** One of the user's runs has ended: another one that waits for the user's limit may begin. */
  promoteParked (userId: string): Promise<void> {
    return promoteParked(this.#redis, this.#queue, userId)
  }

  async stop (): Promise<void> {
    this.#isStopped = true
    this.#worker?.stop()
  }

  /** Closes the queue. Jobs that were taken and whose runs are not claimed go back to it. */
  async close (): Promise<void> {
    this.#isClosed = true
    this.#positions.close()
    await withTimeout(Promise.all([this.#worker?.close(), this.#queue.close()]), CLOSE_MS).catch(() => {})
  }

  /** How many runs wait, over all processes; undefined if Redis does not answer. */
  async length (): Promise<number | undefined> {
    return (await this.#count(''))?.total
  }

  /** How many runs wait; undefined if Redis does not answer. */
  async #count (userId: string): Promise<{ total: number, ofUser: number } | undefined> {
    if (!this.options.link.isUp) return undefined
    try {
      return await countWaiting(this.#redis, this.#waitingKey, this.#queue.toKey('delayed'), userId)
    } catch {
      return undefined
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
