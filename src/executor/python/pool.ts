import type { Logger } from 'pino'
import { errors } from '#shared/errors.ts'
import { Slots, type SlotTicket } from '../../lib/slots.js'
import { type Confinement, probeConfinement } from './confinement.js'
import { bareEnvironment, type DetectedPython, detectPython } from './detect.js'
import type { PythonJob } from './job.js'
import { PythonWorker, type WorkerBounds } from './worker.js'

export interface PythonPoolOptions extends WorkerBounds {
  /** The interpreter's command. */
  command: string
  /** The path in which the service and agents look for commands. */
  searchPath?: string
  workers: number
  /** Milliseconds that a worker may be silent. Only tests change it. */
  silenceMs?: number
  /** Milliseconds after which an interpreter that could not be tried is tried again. Only tests change it. */
  retryMs?: number
  /** Whether modules of agents are loaded anew when their files have changed; by default they are not. */
  reloads?: boolean
  log: Pick<Logger, 'debug' | 'info' | 'warn'>
}

/** A call into a C library that holds the interpreter's lock for longer counts as hanging. */
const SILENCE_MS = 60_000
/** Each try may take as long as an interpreter may take to start. */
const RETRY_MS = 30_000

/** Workers for code in Python. They are started on demand, reused, and replaced when they fail. Waiting jobs take turns by user. */
export class PythonPool {
  readonly #env: Record<string, string>
  readonly #slots: Slots
  readonly #workers = new Set<PythonWorker>()
  #detected: Promise<DetectedPython> | undefined
  #wasTriedInVain = false
  #idle: PythonWorker[] = []
  #isClosed = false

  constructor (private readonly options: PythonPoolOptions) {
    const { searchPath, workers } = options
    this.#env = bareEnvironment(searchPath)
    this.#slots = new Slots({ maxConcurrent: workers, maxPerUser: workers, maxWaiting: Infinity })
  }

  /** The interpreter, or the reason why there is none. It is detected at the first use, and again only if it could not be tried. */
  get detected (): Promise<DetectedPython> {
    this.#detected ??= this.#detect()
    return this.#detected
  }

  async #detect (): Promise<DetectedPython> {
    const { command, retryMs = RETRY_MS, log } = this.options
    const detected = await detectPython(command, this.#env)
    if ('path' in detected && this.#wasTriedInVain) log.info(detected, 'Python is available again')
    this.#wasTriedInVain = 'isPassing' in detected
    if ('isPassing' in detected) {
      log.warn({ reason: detected.reason, retryMs }, 'Python is not available for now')
      setTimeout(() => { this.#detected = undefined }, retryMs).unref()
    }
    return detected
  }

  /** Tries which restrictions of agents are in force on this machine; undefined if that cannot be found out. Call it where there is Python. */
  async probeConfinement (): Promise<Confinement | undefined> {
    const detected = await this.detected
    return 'path' in detected ? probeConfinement(detected.path, this.#env) : undefined
  }

  async isAvailable (): Promise<boolean> {
    return 'path' in await this.detected
  }

  /** The ids of the guard processes, each of which leads its process group. */
  get pids (): number[] {
    return [...this.#workers].flatMap(({ pid }) => pid ?? [])
  }

  /**
   * Runs a job once a worker is free for its user.
   * @throws {PythonError}; python_unavailable; shutting_down; the signal's reason once it is aborted.
   */
  async run (userId: string, job: PythonJob): Promise<void> {
    const ticket = this.#slots.acquireOrWait(userId)
    try {
      await turnOf(ticket, job.signal)
      const worker = await this.#findWorker()
      const { result, released } = this.#start(worker, job)
      // The slot outlasts the result: it is taken until the worker is free or has exited.
      released.then(isUsable => {
        if (isUsable) this.#idle.push(worker)
        ticket.release()
      })
      // Not awaited, so that a failed job does not release the slot below.
      return result
    } catch (error) {
      ticket.release()
      throw error
    }
  }

  /** Closes all workers and waits until they have exited. Later jobs are refused. */
  async close (): Promise<void> {
    this.#isClosed = true
    for (const worker of this.#workers) worker.close()
    await Promise.all([...this.#workers].map(({ exited }) => exited))
  }

  /** Starts a job on a worker. If the job cannot be sent, the worker stays idle. */
  #start (worker: PythonWorker, job: PythonJob): ReturnType<PythonWorker['run']> {
    try {
      return worker.run(job)
    } catch (error) {
      this.#idle.push(worker)
      throw error
    }
  }

  async #findWorker (): Promise<PythonWorker> {
    const detected = await this.detected
    if (!('path' in detected)) throw errors.pythonUnavailable()
    if (this.#isClosed) throw errors.shuttingDown()
    // An idle worker may be closing already, because it hung.
    this.#idle = this.#idle.filter(({ isUsable }) => isUsable)
    // The most recently used worker is most likely to have its modules in memory.
    return this.#idle.pop() ?? this.#createWorker(detected.path)
  }

  #createWorker (path: string): PythonWorker {
    const { memoryMb, maxProcesses, silenceMs = SILENCE_MS, reloads = false, log } = this.options
    const worker = new PythonWorker({ path, env: this.#env, memoryMb, maxProcesses, silenceMs, reloads, log })
    this.#workers.add(worker)
    worker.exited.then(() => {
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
