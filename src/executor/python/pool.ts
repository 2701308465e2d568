import type { Logger } from 'pino'
import { errors } from '#shared/errors.ts'
import { Slots, type SlotTicket } from '../../lib/slots.js'
import { bareEnvironment, detectPython, type FoundPython } from './detect.js'
import { type PythonJob, PythonWorker } from './worker.js'

export interface PythonPoolOptions {
  /** The interpreter, as it is called on a command line. */
  command: string
  /** Where commands are looked for, by the service and by agents. */
  searchPath?: string
  /** Address space of each process, in MiB. */
  memoryMb: number
  workers: number
  /** How long a worker may give no sign of life; another value only for tests. */
  silenceMs?: number
  log: Pick<Logger, 'debug'>
}

/** Code that holds the interpreter's lock for longer, in one call of a library written in C, is taken for dead. */
const SILENCE_MS = 60_000

/** Workers for code in Python: started when they are needed, kept, and replaced. Whose jobs wait are served in turn by user. */
export class PythonPool {
  readonly #env: Record<string, string>
  readonly #queue: Slots
  readonly #workers = new Set<PythonWorker>()
  #found: Promise<FoundPython> | undefined
  #idle: PythonWorker[] = []
  #isClosed = false

  constructor (private readonly options: PythonPoolOptions) {
    const { searchPath, workers } = options
    this.#env = bareEnvironment(searchPath)
    this.#queue = new Slots({ maxConcurrent: workers, maxPerUser: workers, maxWaiting: Infinity })
  }

  /** The Python that is there, or why there is none; looked for once, when somebody first wants to know. */
  get found (): Promise<FoundPython> {
    this.#found ??= detectPython(this.options.command, this.#env)
    return this.#found
  }

  async isAvailable (): Promise<boolean> {
    return 'path' in await this.found
  }

  /** The processes' ids: of the guards, which lead their groups. */
  get pids (): number[] {
    return [...this.#workers].flatMap(({ pid }) => pid ?? [])
  }

  /**
   * Runs a job once a worker is free for its user.
   * @throws {PythonFailure}; python_unavailable; the signal's reason.
   */
  async run (userId: string, job: PythonJob): Promise<void> {
    const ticket = this.#queue.acquireOrWait(userId)
    try {
      await turnOf(ticket, job.signal)
      const worker = await this.#findWorker()
      const { result, free } = this.#give(worker, job)
      // The job's end is its caller's; its place is taken until the worker is free, or gone.
      free.then(isUsable => {
        if (isUsable) this.#idle.push(worker)
        ticket.release()
      })
      // Not awaited: what comes of the job gives no place back.
      return result
    } catch (error) {
      ticket.release()
      throw error
    }
  }

  /** Ends all workers, and waits until they have ended; nothing is run after it. */
  async close (): Promise<void> {
    this.#isClosed = true
    for (const worker of this.#workers) worker.end()
    await Promise.all([...this.#workers].map(({ gone }) => gone))
  }

  /** A worker that does not take a job is as idle as before. */
  #give (worker: PythonWorker, job: PythonJob): ReturnType<PythonWorker['run']> {
    try {
      return worker.run(job)
    } catch (error) {
      this.#idle.push(worker)
      throw error
    }
  }

  async #findWorker (): Promise<PythonWorker> {
    const found = await this.found
    if (!('path' in found)) throw errors.pythonUnavailable()
    if (this.#isClosed) throw errors.shuttingDown()
    // The one that was used last has its modules in memory still. One that hangs may be on its way out already.
    this.#idle = this.#idle.filter(({ isUsable }) => isUsable)
    return this.#idle.pop() ?? this.#start(found.path)
  }

  #start (path: string): PythonWorker {
    const { memoryMb, silenceMs = SILENCE_MS, log } = this.options
    const worker = new PythonWorker({ path, env: this.#env, memoryMb, silenceMs, log })
    this.#workers.add(worker)
    worker.gone.then(() => {
      this.#workers.delete(worker)
      this.#idle = this.#idle.filter(idle => idle !== worker)
    })
    return worker
  }
}

function turnOf (ticket: SlotTicket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) return onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    ticket.turn.then(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
  })
}
