import { Worker, type WorkerOptions } from 'node:worker_threads'
import { startWorkClock } from '../../../lib/work-clock.js'
import type { ArgumentsToCheck, CheckedArguments } from './check.js'

/** Starts the worker: beside the programs it lies bundled; of the source, tsx has to be registered in each thread. */
function startWorker (options: WorkerOptions): Worker {
  if (!import.meta.url.endsWith('.ts')) return new Worker(new URL('./schema-worker.js', import.meta.url), options)
  const [tsx, entry] = [import.meta.resolve('tsx/esm/api'), new URL('./schema-worker.ts', import.meta.url).href].map(url => JSON.stringify(url))
  return new Worker(`import(${tsx}).then(({ register }) => { register(); return import(${entry}) })`, { ...options, eval: true })
}

/** Milliseconds until the thread has loaded its code, on a machine that has much else to do. */
const START_TIMEOUT = 20_000
/** How many times longer a call may take on a machine that has much else to do: what it has not worked is not held against a schema. */
const PATIENCE = 10
/** Milliseconds after which the clock of work is read again, at least. */
const SHORTEST_WAIT = 10
const MAX_HEAP_MB = 64

/** The thread did not answer in time, or ran out of memory; it was ended. */
export class ThreadFailedError extends Error {}

/** A thread that checks arguments against schemas, one call at a time. It does not keep the process alive. */
export class SchemaThread {
  readonly #worker = startWorker({ name: 'schemas', env: {}, resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB, maxYoungGenerationSizeMb: 16 } })

  /** Resolves when the thread can check; rejects with a `ThreadFailedError`. */
  readonly started: Promise<void>
  #onAnswer: (answer: unknown) => void = () => {}
  #onEnd: () => void = () => {}
  #hasEnded = false

  constructor () {
    this.#worker.on('message', answer => this.#onAnswer(answer))
    // A thread that runs out of memory reports an error and ends.
    this.#worker.on('error', () => this.#end()).on('exit', () => this.#end())
    this.#worker.unref()
    this.started = this.#answer(START_TIMEOUT, START_TIMEOUT).then(() => {})
    this.started.catch(() => {})
  }

  get hasEnded (): boolean { return this.#hasEnded }

  /**
   * Checks one call of a thread that has started; the call before has been answered.
   * @param ms milliseconds for the call, during which the process works.
   * @throws {ThreadFailedError} and the thread has ended then.
   */
  async check (call: ArgumentsToCheck, ms: number): Promise<CheckedArguments> {
    this.#worker.postMessage(call)
    return await this.#answer(ms, ms * PATIENCE) as CheckedArguments
  }

  /** @param ms milliseconds of work, and @param most of time at all. */
  #answer (ms: number, most: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const stopWaiting = this.#endAfter(ms, most)
      this.#onAnswer = answer => {
        stopWaiting()
        resolve(answer)
      }
      this.#onEnd = () => {
        stopWaiting()
        reject(new ThreadFailedError())
      }
      if (this.#hasEnded) this.#onEnd()
    })
  }

  /** Ends the thread in time, unless the returned function is called before. */
  #endAfter (ms: number, most: number): () => void {
    const worked = startWorkClock()
    const latest = performance.now() + most
    let timer: NodeJS.Timeout | NodeJS.Immediate
    const look = (): void => {
      const left = Math.min(ms - worked(), latest - performance.now())
      // If it was this process that was late, the answer is there to be read: timers come before messages.
      if (left > 0) timer = setTimeout(look, Math.max(left, SHORTEST_WAIT))
      else timer = setImmediate(() => this.#end())
    }
    timer = setTimeout(look, ms)
    return () => {
      clearTimeout(timer as NodeJS.Timeout)
      clearImmediate(timer as NodeJS.Immediate)
    }
  }

  #end (): void {
    this.#hasEnded = true
    this.#onEnd()
    this.#worker.terminate()
  }
}
