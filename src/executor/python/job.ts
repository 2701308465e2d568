/** A job of a Python worker: one call of an entrypoint. */
export interface PythonJob {
  /** The run that it is a part of, for the log. */
  runId?: string
  /** `package.module:function`. */
  entrypoint: string
  input: unknown
  /** Cancels the job: its result rejects at once, and its code is ended. */
  signal: AbortSignal
  /** The limit of all its text, in UTF-16 units. */
  maxOutput: number
  /** Milliseconds. */
  timeoutMs?: number
  onText (text: string): void
  onProgress (progress: { fraction?: number, message?: string }): void
}

/** A job failed. The message is for its caller. */
export class PythonError extends Error {
  /** @param workerDied whether the worker failed rather than the code, so that another worker may succeed. */
  constructor (message: string, readonly workerDied = false) {
    super(message)
  }
}

/**
 * The job that a worker is running. It ends twice: it is settled when its caller learns the outcome, and released when the
 * worker is free, which is later if the code goes on after it was cancelled.
 */
export class RunningJob {
  /** Rejects with a PythonError or the reason of the job's signal. */
  readonly result: Promise<void>
  /** Resolves to whether the worker can run another job. */
  readonly released: Promise<boolean>
  #resolve!: () => void
  #reject!: (reason: unknown) => void
  #release!: (isUsable: boolean) => void
  #timer: NodeJS.Timeout | undefined
  readonly #onAbort = (): void => { this.cancel(this.job.signal.reason) }
  #isSettled = false
  #outputLength = 0

  /** @param cancel is called with the reason when the job's signal is aborted or its time is up. */
  constructor (readonly id: number, private readonly job: PythonJob, private readonly cancel: (reason: unknown) => void) {
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.released = new Promise(resolve => { this.#release = resolve })
    const { timeoutMs, signal } = job
    if (timeoutMs) this.#timer = setTimeout(() => cancel(new PythonError(`It did not end within ${timeoutMs / 1000} s.`)), timeoutMs)
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** What the log says of it. */
  get fields (): { runId?: string, entrypoint: string } {
    const { runId, entrypoint } = this.job
    return { ...(runId === undefined ? {} : { runId }), entrypoint }
  }

  /** Ends the job for its caller: nothing is emitted after it. Only the first call counts. */
  settle (error?: unknown): void {
    this.#isSettled = true
    clearTimeout(this.#timer)
    this.job.signal.removeEventListener('abort', this.#onAbort)
    if (error === undefined) this.#resolve()
    else this.#reject(error)
  }

  /** Ends the job for its worker. */
  release (isUsable: boolean): void {
    this.#release(isUsable)
  }

  /** @returns false if the text exceeds the job's limit, which fails the job. */
  emitText (text: string): boolean {
    if (this.#isSettled) return true
    const { maxOutput } = this.job
    this.#outputLength += text.length
    if (this.#outputLength > maxOutput) {
      this.settle(new PythonError(`It said more than ${maxOutput} characters.`))
      return false
    }
    this.job.onText(text)
    return true
  }

  emitProgress (progress: { fraction?: number, message?: string }): void {
    if (!this.#isSettled) this.job.onProgress(progress)
  }
}
