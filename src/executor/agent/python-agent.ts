import { errors } from '#shared/errors.ts'
import { rateOf } from '#shared/price.ts'
import { lastUserText } from '#shared/prompt.ts'
import { NO_USAGE } from '#shared/usage.ts'
import { Throttle } from '../../lib/throttle.js'
import { PythonError } from '../python/job.js'
import type { PythonPool } from '../python/pool.js'
import type { AgentContext, AgentInput } from './agent-context.js'
import type { Progress } from './progress.js'

/** What all of an agent's text may come to, in UTF-16 units. */
const MAX_OUTPUT = 8 * 1024 * 1024
const MAX_TRIES = 2

export interface PythonContext extends Pick<AgentContext, 'tool' | 'rates' | 'emit' | 'log'> {
  readonly python: Pick<PythonPool, 'run'>
}

/** Runs an agent that is code to its end. Throws what ended it before. */
export async function runPythonAgent (input: AgentInput, progress: Progress, context: PythonContext): Promise<void> {
  const { agent: { entrypoint } } = input
  // Workers are shared in turn by user.
  const { userId, signal } = context.tool
  if (!entrypoint) throw errors.pythonFailed('The agent is written in Python and has no entrypoint.')
  for (let tries = 1; ; tries++) {
    const output = new Output(progress, context)
    try {
      await context.python.run(userId, {
        entrypoint,
        input: toInput(input),
        signal,
        maxOutput: MAX_OUTPUT,
        onText: text => output.text(text),
        onProgress: fields => output.progress(fields)
      })
      output.end()
      progress.finishReason = 'stop'
      return
    } catch (error) {
      // The run may go on elsewhere by now: what waits to be told is told by nobody.
      if (signal.aborted || !(error instanceof PythonError)) return output.drop(error)
      if (!error.workerDied || tries === MAX_TRIES) {
        output.end()
        throw errors.pythonFailed(error.message)
      }
      context.log('retried', { code: errors.pythonFailed.code, tries, why: error.message })
      output.takeBack()
    }
  }
}

/** What the code is given: the agent as it is configured, and what it was asked. */
function toInput ({ agent, messages, functionResults }: AgentInput): object {
  const { executor, entrypoint, ...configuration } = agent
  return { messages, prompt: lastUserText(messages), agent: configuration, functionResults }
}

/** What one try says. The log has no end of patience for events, so they are bundled. */
class Output {
  #firstEvent?: number
  #text = ''
  #progress: { fraction?: number, message?: string } = {}
  readonly #textPacer = new Throttle(() => this.#tellText(), 20, 1 / 10_000)
  readonly #progressPacer = new Throttle(() => this.#tellProgress(), 250, 1 / 1_000)

  constructor (private readonly run: Progress, private readonly context: PythonContext) {}

  text (content: string): void {
    this.#text += content
    if (content) this.#textPacer.call()
  }

  /** Of what comes too fast the last is told. */
  progress (fields: { fraction?: number, message?: string }): void {
    this.#progress = { ...fields }
    this.#progressPacer.call()
  }

  /** Tells what is left. */
  end (): void {
    this.#progressPacer.flush()
    this.#textPacer.flush()
  }

  drop (error: unknown): never {
    this.#textPacer.stop()
    this.#progressPacer.stop()
    throw error
  }

  /** Forgets what was said, for it comes anew. */
  takeBack (): void {
    this.#textPacer.stop()
    this.#progressPacer.stop()
    if (this.#firstEvent !== undefined) this.context.emit({ type: 'rewind', to: this.#firstEvent - 1 })
    this.context.emit({ type: 'retry', code: errors.pythonFailed.code, delayMs: 0 })
  }

  #tellText (): void {
    // What was to wait longer came before.
    this.#progressPacer.flush()
    const content = this.#text
    this.#text = ''
    this.run.use(NO_USAGE, rateOf(this.context.rates, 'python'), true)
    const seq = this.context.emit({ type: 'chunk', content })
    this.#firstEvent ??= seq
  }

  /** Text that was said before is told before. */
  #tellProgress (): void {
    this.#textPacer.flush()
    const { fraction, message } = this.#progress
    this.context.emit({ type: 'progress', ...(fraction === undefined ? {} : { fraction }), ...(message === undefined ? {} : { message }) })
  }
}
