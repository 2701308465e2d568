import cluster, { type Worker } from 'node:cluster'
import type { Logger } from 'pino'

/** A process that lived for so long before it ended is replaced at once. */
const LONG_MS = 60_000
const FIRST_PAUSE_MS = 100
const PAUSE_GROWTH = 4
const LONGEST_PAUSE_MS = 30_000

/** What a process says once it listens. */
interface Listening { listening: string }

/** A process that ended before it listened. */
export class StartError extends Error {}

/** Tells the process that has started this one where it listens. */
export function sayListening (url: string): void {
  process.send?.({ listening: url } satisfies Listening)
}

/** Processes that share a port: starts them, replaces those that end by themselves, and ends them. */
export class ProcessGroup {
  readonly #count: number
  readonly #log: Pick<Logger, 'info' | 'error'>
  readonly #startedAt = new Map<Worker, number>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #shortLives = 0
  #isStarting = true
  #isEnding = false

  constructor (count: number, log: Pick<Logger, 'info' | 'error'>) {
    this.#count = count
    this.#log = log
  }

  get isEnding (): boolean { return this.#isEnding }

  /**
   * Starts the first process, and the others once it listens: what keeps a process from starting is said once.
   * @returns the URL.
   * @throws {StartError} if one ends before it listens.
   */
  async start (): Promise<string> {
    const url = await this.#fork()
    await Promise.all(Array.from({ length: this.#count - 1 }, () => this.#fork()))
    this.#isStarting = false
    return url
  }

  /** Ends all processes as SIGTERM does. @returns whether each ended with code 0, or was not listening yet. */
  async end (): Promise<boolean> {
    this.#isEnding = true
    for (const timer of this.#timers) clearTimeout(timer)
    const codes = await Promise.all([...this.#startedAt.keys()].map(async worker => {
      // Not by `once` of events, which an error of the connection to it would end.
      const exited = new Promise<[number | null, string | null]>(resolve => worker.once('exit', (code, signal) => resolve([code, signal])))
      worker.process.kill('SIGTERM')
      const [code, signal] = await exited
      return signal === 'SIGTERM' ? 0 : code
    }))
    return codes.every(code => code === 0)
  }

  /** Ends all processes at once. */
  kill (): void {
    for (const worker of this.#startedAt.keys()) worker.process.kill('SIGKILL')
  }

  async #fork (): Promise<string> {
    const worker = cluster.fork()
    this.#startedAt.set(worker, performance.now())
    worker.once('exit', (code: number | null, signal: string | null) => this.#replace(worker, code, signal))
    return new Promise((resolve, reject) => {
      worker.on('message', (message: Partial<Listening>) => { if (message.listening) resolve(message.listening) })
      worker.once('exit', () => reject(new StartError('a process ended before it listened')))
      // The system has started none, which does not exit; or one could not be told something, which ends.
      worker.on('error', error => {
        if (worker.process.pid !== undefined) return
        this.#startedAt.delete(worker)
        reject(error)
      })
    })
  }

  /** A process that ends by itself is replaced. */
  #replace (worker: Worker, code: number | null, signal: string | null): void {
    const livedMs = performance.now() - this.#startedAt.get(worker)!
    this.#startedAt.delete(worker)
    if (this.#isEnding || this.#isStarting) return
    const fields = { pid: worker.process.pid, code, signal, pauseMs: this.#pauseAfter(livedMs) }
    if (code === 0) this.#log.info(fields, 'a process has ended: another one takes its place')
    else this.#log.error(fields, 'a process ended unexpectedly: another one takes its place')
    this.#forkAfter(fields.pauseMs)
  }

  /** Longer and longer if no process lives for long. */
  #pauseAfter (livedMs: number): number {
    this.#shortLives = livedMs < LONG_MS ? this.#shortLives + 1 : 0
    return this.#shortLives === 0 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * PAUSE_GROWTH ** (this.#shortLives - 1))
  }

  #forkAfter (pauseMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#fork().then(() => this.#log.info('a process has taken the place of one that had ended'), error => this.#tryAgain(error))
    }, pauseMs)
    this.#timers.add(timer)
  }

  /** For want of memory or processes the system may start none; one that has ended early is replaced by then. */
  #tryAgain (err: unknown): void {
    if (this.#isEnding || err instanceof StartError) return
    const pauseMs = this.#pauseAfter(0)
    this.#log.error({ err, pauseMs }, 'a process could not be started: it is tried again')
    this.#forkAfter(pauseMs)
  }
}
