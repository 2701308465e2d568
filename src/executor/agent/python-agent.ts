import { errors } from '#shared/errors.ts'
import { toKnownMessages } from '#shared/messages.ts'
import { rateOf } from '#shared/price.ts'
import { lastUserText } from '#shared/prompt.ts'
import { traceHeaders } from '#shared/traces/trace-context.ts'
import { NO_USAGE } from '#shared/usage.ts'
import { Throttle } from '../../lib/throttle.js'
import { PythonError } from '../python/job.js'
import type { PythonPool } from '../python/pool.js'
import type { AgentContext, AgentInput } from './agent-context.js'
import type { Progress } from './progress.js'

/** The maximum length of an agent's whole text, in UTF-16 units. */
const MAX_OUTPUT = 8 * 1024 * 1024
const MAX_TRIES = 2

/** What a Python agent needs from the run that executes it. */
export interface PythonContext extends Pick<AgentContext, 'tool' | 'rates' | 'figures' | 'emit' | 'log' | 'spans' | 'trace'> {
  readonly python: Pick<PythonPool, 'run'>
}

/**
 * Runs an agent that is written in Python. It is started a second time if its worker process died.
 * @throws {ServiceError} `python_failed` if the code failed, or cannot be run.
 * @throws the signal's reason when it is aborted.
 */
export async function runPythonAgent (input: AgentInput, progress: Progress, context: PythonContext): Promise<void> {
  const { agent: { entrypoint } } = input
  // The pool alternates between users.
  const { runId, userId, signal } = context.tool
  if (!entrypoint) throw errors.pythonFailed('The agent is written in Python and has no entrypoint.')
  const step = context.spans?.openStep('python', progress.bill.credits)
  for (let tries = 1; ; tries++) {
    const output = new Output(progress, context)
    try {
      await context.python.run(userId, {
        runId,
        entrypoint,
        input: { ...toInput(input), ...traceHeaders(step?.context ?? context.trace) },
        signal,
        maxOutput: MAX_OUTPUT,
        onText: text => output.text(text),
        onProgress: fields => output.progress(fields)
      })
      output.end()
      progress.finishReason = 'stop'
      step?.end({ number: 1, credits: progress.bill.credits })
      return
    } catch (error) {
      // The run may already continue in another process, so buffered output is not emitted.
      if (signal.aborted || !(error instanceof PythonError)) {
        output.discard()
        throw error
      }
      if (!error.workerDied || tries === MAX_TRIES) {
        output.end()
        throw errors.pythonFailed(error.message)
      }
      context.log('retried', { code: errors.pythonFailed.code, tries, why: error.message })
      context.figures.noteRetry('python')
      output.rewind()
    }
  }
}

/** The argument of the agent's code: its configuration and the request. */
function toInput ({ agent, messages, functionResults }: AgentInput): object {
  const { executor, entrypoint, ...configuration } = agent
  return { messages: toKnownMessages(messages), prompt: lastUserText(messages), agent: configuration, functionResults }
}

/** The output of one try. Code can write much faster than readers need it, so events are throttled. */
class Output {
  #firstEvent?: number
  #text = ''
  #progress: { fraction?: number, message?: string } = {}
  readonly #textThrottle = new Throttle(() => this.#emitText(), 20, 1 / 10_000)
  readonly #progressThrottle = new Throttle(() => this.#emitProgress(), 250, 1 / 1_000)

  constructor (private readonly run: Progress, private readonly context: PythonContext) {}

  text (content: string): void {
    this.#text += content
    if (content) this.#textThrottle.call()
  }

  /** A report replaces an earlier one that was not emitted yet. */
  progress (fields: { fraction?: number, message?: string }): void {
    this.#progress = { ...fields }
    this.#progressThrottle.call()
  }

  /** Emits what is buffered. */
  end (): void {
    this.#progressThrottle.flush()
    this.#textThrottle.flush()
  }

  /** Discards what is buffered. */
  discard (): void {
    this.#textThrottle.stop()
    this.#progressThrottle.stop()
  }

  /** Tells readers to discard this try's output, and that another try follows. */
  rewind (): void {
    this.discard()
    if (this.#firstEvent !== undefined) {
      this.context.figures.rewinds++
      this.context.emit({ type: 'rewind', to: this.#firstEvent - 1 })
    }
    this.context.emit({ type: 'retry', code: errors.pythonFailed.code, delayMs: 0 })
  }

  #emitText (): void {
    // Progress waits longer than text, but was reported earlier.
    this.#progressThrottle.flush()
    const content = this.#text
    this.#text = ''
    this.run.noteOutput()
    this.run.countUsage(NO_USAGE, rateOf(this.context.rates, 'python'), true)
    const seq = this.context.emit({ type: 'chunk', content })
    this.#firstEvent ??= seq
  }

  /** Text that was written before is emitted first. */
  #emitProgress (): void {
    this.#textThrottle.flush()
    const { fraction, message } = this.#progress
    this.context.emit({ type: 'progress', ...(fraction === undefined ? {} : { fraction }), ...(message === undefined ? {} : { message }) })
  }
}
