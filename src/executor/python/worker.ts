import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable, Writable } from 'node:stream'
import type { Logger } from 'pino'
import { PYTHON_FOLDER } from './confinement.js'
import { PythonError, type PythonJob, RunningJob } from './job.js'
import { LineSplitter, MAX_LINE, parseMessage, type WorkerMessage } from './messages.js'

/** How long cancelled code has to end: half of it by its own flag, half of it by an exception. */
const CANCEL_MS = 2_000
/** How long the guard has to end the group, for which it needs a second, before it is killed. */
const KILL_MS = 3_000
/** Exit codes of the guard if its group exceeds a bound, as in `group.py`, and what the bound is. */
const EXCEEDED: Record<number, (bounds: WorkerBounds) => string> = {
  254: ({ memoryMb }) => `It and the processes that it started need more than PYTHON_MEMORY_MB (${memoryMb}) allows.`,
  253: ({ maxProcesses }) => `It started more processes than PYTHON_MAX_PROCESSES (${maxProcesses}) allows.`,
  252: ({ maxProcesses }) => `It started more threads than PYTHON_MAX_PROCESSES (${maxProcesses}) allows, which is 16 times as many.`
}

/** Bytes of printed text that are logged of each job. */
const MAX_PRINTED = 64 * 1024

/** What a worker may take together with all processes that it starts. */
export interface WorkerBounds {
  /** MiB; it is also the address space of each process. */
  memoryMb: number
  /** Processes at once. */
  maxProcesses: number
}

export interface WorkerOptions extends WorkerBounds {
  path: string
  env: Record<string, string>
  /** How long the worker may send nothing before it counts as hanging. It sends a heartbeat every second. */
  silenceMs: number
  /** Whether modules of agents are loaded anew when their files have changed. */
  reloads: boolean
  log: Pick<Logger, 'debug' | 'warn'>
}

/** One Python process and the process group that it guards. Runs one job at a time. */
export class PythonWorker {
  /** Resolves when the guard has exited, and with it the group. */
  readonly exited: Promise<void>
  readonly #child: ChildProcess
  readonly #lines = new LineSplitter()
  readonly #watchdog: NodeJS.Timeout
  #job?: RunningJob
  #jobCount = 0
  #silentIntervals = 0
  #printedBytes = 0
  #isClosing = false
  #cancelTimer?: NodeJS.Timeout
  #killTimer?: NodeJS.Timeout

  constructor (private readonly options: WorkerOptions) {
    const { path, env, memoryMb, maxProcesses, reloads } = options
    this.#child = spawn(path, ['-s', `${PYTHON_FOLDER}worker.py`, `${memoryMb}`, `${maxProcesses}`, reloads ? '1' : '0'], {
      // A session of its own: signals to the service's process group do not reach the worker.
      detached: true,
      env: { ...env, PYTHONPATH: PYTHON_FOLDER },
      // Standard output and error, then the orders, the answers, and a pipe that closes when the service dies.
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe']
    })
    this.exited = new Promise(resolve => {
      this.#child.once('error', error => resolve(this.#onExit(died(`could not be started (${(error as NodeJS.ErrnoException).code})`))))
      this.#child.once('exit', code => resolve(this.#onExit(this.#explainExit(code))))
    })
    const [, , , , answers] = this.#pipes
    // A write to a worker that has just died fails; its exit is handled above.
    for (const stream of this.#pipes) stream?.on('error', () => {});
    (answers as Readable | undefined)?.on('data', data => this.#receive(data))
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream?.on('data', data => this.#logPrinted(data))
    // Counts intervals rather than comparing times: a slow service must not count as a silent worker.
    this.#watchdog = setInterval(() => this.#checkSilence(), options.silenceMs / 4).unref()
  }

  get pid (): number | undefined { return this.#child.pid }

  /** None, whatever the types say, if the process was out of descriptors. */
  get #pipes (): ReadonlyArray<Readable | Writable | null | undefined> { return this.#child.stdio ?? [] }

  /** Whether it can run a job: a closing worker does not answer. */
  get isUsable (): boolean { return !this.#isClosing }

  /**
   * Runs a job. The worker must not be running another one.
   * @throws {PythonError} if the input cannot be sent; the worker stays free.
   */
  run (job: PythonJob): Pick<RunningJob, 'result' | 'released'> {
    const id = this.#jobCount + 1
    const order = toLine({ type: 'run', id, entrypoint: job.entrypoint, input: job.input })
    this.#jobCount = id
    this.#printedBytes = 0
    const running = this.#job = new RunningJob(id, job, reason => this.#cancel(reason))
    this.#send(order)
    if (job.signal.aborted) this.#cancel(job.signal.reason)
    return running
  }

  /** Ends the worker and all processes that it started, whatever they do. Does not wait for their end. */
  close (): void {
    if (this.#isClosing) return
    this.#isClosing = true
    this.#child.kill('SIGTERM')
    this.#killTimer = setTimeout(() => this.#killGroup(), KILL_MS)
  }

  /** Settles the job at once. Its code has some time to end before the worker is closed. */
  #cancel (reason: unknown): void {
    this.#job?.settle(reason)
    this.#send(toLine({ type: 'cancel', id: this.#job?.id }))
    this.#cancelTimer = setTimeout(() => this.close(), CANCEL_MS)
  }

  #send (line: string): void {
    (this.#pipes[3] as Writable | undefined)?.write(line)
  }

  #receive (data: Buffer): void {
    if (this.#isClosing) return
    this.#silentIntervals = 0
    const lines = this.#lines.split(data)
    if (!lines) return this.#fail(`The Python worker said more than ${MAX_LINE} bytes in one line.`)
    for (const line of lines) {
      const message = parseMessage(line)
      if (!message) return this.#fail('The Python worker said what a worker does not say: something else wrote to its channel.')
      // Threads of an earlier job may still send messages.
      if (message.type !== 'alive' && message.id === this.#job?.id) this.#handle(message, this.#job)
    }
  }

  #handle (message: Exclude<WorkerMessage, { type: 'alive' }>, job: RunningJob): void {
    switch (message.type) {
      case 'text':
        if (!job.emitText(message.text)) this.close()
        return
      case 'progress': return job.emitProgress(message)
      case 'log': return this.options.log.debug({ text: message.text }, '[PYTHON] log')
      case 'error':
        this.#logFailure(message, job)
        job.settle(new PythonError(message.message, message.fault.exception === 'MemoryError' && this.#hasRunOthers))
        return this.#endJob(job, message.retire)
      case 'done':
        job.settle()
        return this.#endJob(job, message.retire)
    }
  }

  /** The message and the traceback may quote what the run was given. A job that was cancelled has no fault. */
  #logFailure ({ message, fault, traceback }: Extract<WorkerMessage, { type: 'error' }>, { fields }: RunningJob): void {
    if (fault.exception === undefined) return
    this.options.log.warn({ ...fields, ...fault }, '[PYTHON] failed')
    this.options.log.debug({ ...fields, text: message, traceback }, '[PYTHON] traceback')
  }

  /** @param retire whether the job left threads or processes behind, so that the worker must be replaced. */
  #endJob (job: RunningJob, retire: boolean): void {
    clearTimeout(this.#cancelTimer)
    this.#job = undefined
    if (!retire) return job.release(true)
    this.close()
    this.exited.then(() => job.release(false))
  }

  #fail (message: string): void {
    this.#job?.settle(new PythonError(message, true))
    this.close()
  }

  #checkSilence (): void {
    if (++this.#silentIntervals > 4) this.#fail(`The Python worker gave no sign of life for ${this.options.silenceMs / 1000} s.`)
  }

  #logPrinted (data: Buffer): void {
    if (this.#printedBytes >= MAX_PRINTED) return
    const room = MAX_PRINTED - this.#printedBytes
    this.#printedBytes += data.length
    this.options.log.debug({ text: data.subarray(0, room).toString(), cut: data.length > room || undefined }, '[PYTHON] printed')
  }

  /** Beyond a bound the code is at fault, and another worker would end in the same way; or what the jobs before it have left in memory. */
  #explainExit (code: number | null): PythonError {
    const exceeded = EXCEEDED[code ?? 0]
    return exceeded ? new PythonError(exceeded(this.options), this.#hasRunOthers) : died(describeExit(code))
  }

  get #hasRunOthers (): boolean { return this.#jobCount > 1 }

  #onExit (error: PythonError): void {
    clearInterval(this.#watchdog)
    clearTimeout(this.#cancelTimer)
    clearTimeout(this.#killTimer)
    // If the guard itself was killed, its group may still be running.
    this.#killGroup()
    for (const stream of this.#pipes) stream?.destroy()
    this.#isClosing = true
    this.#job?.settle(error)
    this.#job?.release(false)
    this.#job = undefined
  }

  #killGroup (): void {
    const { pid } = this.#child
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL')
    } catch {
      // The group has ended.
    }
  }
}

/** @throws {PythonError} if the order cannot be written as JSON: it is nested too deep, circular, or too long. */
function toLine (order: object): string {
  try {
    return `${JSON.stringify(order)}\n`
  } catch {
    throw new PythonError('Its input cannot be written as JSON.')
  }
}

function died (description: string): PythonError {
  return new PythonError(`The Python worker ${description}.`, true)
}

/** Describes the end of a worker. Its guard exits with 128 plus the number of the signal that ended the worker, as shells do. */
function describeExit (code: number | null): string {
  const signal = code !== null && code > 128 && Object.entries(constants.signals).find(([, number]) => number === code - 128)
  if (signal) return `was ended by ${signal[0]}`
  return code === null ? 'was ended with its guard' : `ended by itself, with code ${code}`
}
