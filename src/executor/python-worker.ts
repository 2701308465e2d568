import { spawn, type ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { ROOT } from '../root.js'
import { LineCutter, MAX_LINE, parseMessage, type WorkerMessage } from './python-messages.js'

/** The folder that agents' modules are in. */
const PYTHON_FOLDER = fileURLToPath(new URL('python/', ROOT))

/** How long code that was cancelled has to end by itself: half of it tidily, half of it by an exception. */
const CANCEL_MS = 2_000
/** The guard, which ends the group, has a second for it; after this it is ended, too. */
const KILL_MS = 3_000
/** What a job may print to the log. */
const MAX_PRINTED = 64 * 1024

export interface PythonJob {
  /** `package.module:function`. */
  entrypoint: string
  input: unknown
  /** Aborted: the job is given up at once, and its code ended. */
  signal: AbortSignal
  /** UTF-16 units of text. */
  maxOutput: number
  timeoutMs?: number
  onText (text: string): void
  onProgress (progress: { fraction?: number, message?: string }): void
}

/** Code in Python did not do what it should; the sentence is for its caller. */
export class PythonFailure extends Error {
  /** @param died the worker broke, and not its code: another one may do better. */
  constructor (sentence: string, readonly died = false) {
    super(sentence)
  }
}

export interface WorkerOptions {
  path: string
  env: Record<string, string>
  memoryMb: number
  /** A worker that says nothing for so long hangs; it says that it is alive every second. */
  silenceMs: number
  log: Pick<Logger, 'debug'>
}

interface Current {
  readonly id: number
  readonly job: PythonJob
  /** Tells the caller; only the first time counts, and nothing is told of the job after it. */
  settle (failure?: unknown): void
  /** The worker is free again (true), or will never be. */
  release (usable: boolean): void
  isSettled: boolean
  said: number
}

/** One Python process, with the group of processes that it is the guard of; runs one job at a time. */
export class PythonWorker {
  /** Resolves when the group's guard has ended; by then the group has. */
  readonly gone: Promise<void>
  readonly #child: ChildProcess
  readonly #cutter = new LineCutter()
  readonly #clock: NodeJS.Timeout
  #current?: Current
  #jobs = 0
  #quiet = 0
  #printed = 0
  #isEnding = false
  #giveUpTimer?: NodeJS.Timeout
  #killTimer?: NodeJS.Timeout

  constructor (private readonly options: WorkerOptions) {
    const { path, env, memoryMb } = options
    this.#child = spawn(path, ['-s', `${PYTHON_FOLDER}worker.py`, `${memoryMb}`], {
      // A session of its own: a signal to the service's group is none to the worker's.
      detached: true,
      env: { ...env, PYTHONPATH: PYTHON_FOLDER },
      // Apart from what is printed: orders, answers, and a line that breaks when the service does.
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe']
    })
    const [, , , , answers] = this.#child.stdio
    // What is written to a worker that has just died is lost with it.
    for (const stream of this.#child.stdio) stream?.on('error', () => {});
    (answers as Readable | undefined)?.on('data', data => this.#hear(data))
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream?.on('data', data => this.#print(data))
    this.gone = new Promise(resolve => {
      this.#child.once('error', error => resolve(this.#end(`could not be started (${(error as NodeJS.ErrnoException).code})`)))
      this.#child.once('exit', code => resolve(this.#end(wordsFor(code))))
    })
    // Counts beats and does not compare times: where the service itself was slow, the worker is not to blame.
    this.#clock = setInterval(() => this.#listen(), options.silenceMs / 4).unref()
  }

  get pid (): number | undefined { return this.#child.pid }

  /** Whether it can take a job: one that is ending will answer nothing. */
  get isUsable (): boolean { return !this.#isEnding }

  /**
   * Runs a job; only where none is on.
   * @returns result: its end for the caller, rejecting with PythonFailure or the signal's reason. free: whether the worker
   * can take another, once that is known.
   * @throws {PythonFailure} for an input that cannot be sent; the worker is free then as it was before.
   */
  run (job: PythonJob): { result: Promise<void>, free: Promise<boolean> } {
    const id = this.#jobs + 1
    const order = toLine({ type: 'run', id, entrypoint: job.entrypoint, input: job.input })
    this.#jobs = id
    this.#printed = 0
    let release = (_usable: boolean) => {}
    const free = new Promise<boolean>(resolve => { release = resolve })
    const result = new Promise<void>((resolve, reject) => {
      const current: Current = this.#current = { id, job, release, settle, isSettled: false, said: 0 }
      const onAbort = () => this.#cancel(job.signal.reason)
      const timer = job.timeoutMs && setTimeout(() => {
        this.#cancel(new PythonFailure(`It did not end within ${job.timeoutMs! / 1000} s.`))
      }, job.timeoutMs)
      job.signal.addEventListener('abort', onAbort, { once: true })

      function settle (failure?: unknown): void {
        current.isSettled = true
        clearTimeout(timer || undefined)
        job.signal.removeEventListener('abort', onAbort)
        if (failure === undefined) resolve()
        else reject(failure)
      }
    })
    this.#send(order)
    if (job.signal.aborted) this.#cancel(job.signal.reason)
    return { result, free }
  }

  /** Ends the worker, whatever it does, with all processes that it has started. */
  end (): void {
    if (this.#isEnding) return
    this.#isEnding = true
    this.#child.kill('SIGTERM')
    this.#killTimer = setTimeout(() => this.#killGroup(), KILL_MS)
  }

  /** The caller hears of it at once; the code has a while to end before it is ended. */
  #cancel (reason: unknown): void {
    this.#current?.settle(reason)
    this.#send(toLine({ type: 'cancel', id: this.#current?.id }))
    this.#giveUpTimer = setTimeout(() => this.end(), CANCEL_MS)
  }

  #send (line: string): void {
    (this.#child.stdio[3] as Writable | undefined)?.write(line)
  }

  #hear (data: Buffer): void {
    if (this.#isEnding) return
    this.#quiet = 0
    const lines = this.#cutter.cut(data)
    if (!lines) return this.#break(`The Python worker said more than ${MAX_LINE} bytes in one line.`)
    for (const line of lines) {
      const message = parseMessage(line)
      if (!message) return this.#break('The Python worker said what a worker does not say: something else wrote to its channel.')
      // Threads of jobs that are over may talk on.
      if (message.type !== 'alive' && message.id === this.#current?.id) this.#take(message, this.#current)
    }
  }

  #take (message: Exclude<WorkerMessage, { type: 'alive' }>, current: Current): void {
    if (message.type === 'text') return this.#say(message.text, current)
    if (message.type === 'log') return this.options.log.debug({ text: message.text }, '[PYTHON] log')
    if (message.type === 'progress') {
      if (!current.isSettled) current.job.onProgress(message)
      return
    }
    if (message.type === 'error') {
      const { entrypoint } = current.job
      this.options.log.debug({ entrypoint, traceback: message.traceback }, '[PYTHON] failed')
      current.settle(new PythonFailure(message.message))
    }
    current.settle()
    clearTimeout(this.#giveUpTimer)
    this.#current = undefined
    if (message.retire) this.#retire(current)
    else current.release(true)
  }

  #say (text: string, current: Current): void {
    if (current.isSettled) return
    current.said += text.length
    if (current.said > current.job.maxOutput) {
      current.settle(new PythonFailure(`It said more than ${current.job.maxOutput} characters.`))
      this.end()
    } else {
      current.job.onText(text)
    }
  }

  #retire (current: Current): void {
    this.end()
    this.gone.then(() => current.release(false))
  }

  #break (sentence: string): void {
    this.#current?.settle(new PythonFailure(sentence, true))
    this.end()
  }

  #listen (): void {
    if (++this.#quiet > 4) this.#break(`The Python worker gave no sign of life for ${this.options.silenceMs / 1000} s.`)
  }

  #print (data: Buffer): void {
    if (this.#printed >= MAX_PRINTED) return
    const room = MAX_PRINTED - this.#printed
    this.#printed += data.length
    this.options.log.debug({ text: data.subarray(0, room).toString(), cut: data.length > room || undefined }, '[PYTHON] printed')
  }

  #end (words: string): void {
    clearInterval(this.#clock)
    clearTimeout(this.#giveUpTimer)
    clearTimeout(this.#killTimer)
    // Whoever has killed the guard has not killed what it guarded.
    this.#killGroup()
    for (const stream of this.#child.stdio) stream?.destroy()
    this.#isEnding = true
    this.#current?.settle(new PythonFailure(`The Python worker ${words}.`, true))
    this.#current?.release(false)
    this.#current = undefined
  }

  #killGroup (): void {
    const { pid } = this.#child
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL')
    } catch {
      // Nobody is left of it.
    }
  }
}

/** An order as it is sent. What is nested too deep, refers to itself or is too long for a text makes none. */
function toLine (order: object): string {
  try {
    return `${JSON.stringify(order)}\n`
  } catch {
    throw new PythonFailure('Its input cannot be written as JSON.')
  }
}

/** How a worker has ended; where a signal ended it, its guard says so as shells do. */
function wordsFor (code: number | null): string {
  const signal = code !== null && code > 128 && Object.entries(constants.signals).find(([, number]) => number === code - 128)
  if (signal) return `was ended by ${signal[0]}`
  return code === null ? 'was ended with its guard' : `ended by itself, with code ${code}`
}
