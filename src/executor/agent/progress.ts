import { type GatewayFailure, MAX_FAILURES } from '#shared/gateway/failure.ts'
import { Bill, type Rate } from '#shared/price.ts'
import type { Usage } from '#shared/schemas.ts'
import { addUsage, NO_USAGE } from '#shared/usage.ts'
import type { EventLog } from '../events/event-log.js'

/** Is told when a run has its first output. */
export interface OutputObserver { onFirstOutput (): void }

/** The result of an agent so far. It grows while the agent runs, and is valid however the run ends. */
export class Progress {
  model: string | null = null
  finishReason: string | null = null
  usage: Usage = NO_USAGE
  /** Whether the run has produced any output, including text that a retry has rewound. */
  hasOutput = false
  /** Whether a model has answered, be it with nothing: then its tokens are charged though the run fails. */
  hasAnswer = false
  readonly bill = new Bill()
  /** Why the gateway has failed, try by try; undefined if it has not. */
  failures: GatewayFailure[] | undefined

  /** @param log contains the text of the run; it is not stored a second time here. */
  constructor (private readonly log: Pick<EventLog, 'textAfter'>, private readonly runId: string, private readonly observer?: OutputObserver) {}

  get response (): string { return this.textAfter() }

  /** The text of the events after a number; all of it by default. */
  textAfter (after?: number): string { return this.log.textAfter(this.runId, after) }

  /** A model, or code, has said something. Called with each token. */
  noteOutput (): void {
    if (this.hasOutput) return
    this.hasOutput = true
    this.observer?.onFirstOutput()
  }

  addFailure (failure: GatewayFailure): void {
    this.failures ??= []
    this.failures.push(failure)
    if (this.failures.length > MAX_FAILURES) this.failures.shift()
  }

  /** Adds the usage of one try, and its price. */
  countUsage (usage: Usage, rate: Rate, isOutput: boolean): void {
    this.usage = addUsage(this.usage, usage)
    this.bill.add(rate, usage, isOutput)
    this.hasOutput ||= isOutput
  }
}
