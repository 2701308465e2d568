import { Bill, type Rate } from '#shared/price.ts'
import type { Usage } from '#shared/schemas.ts'
import { addUsage, NO_USAGE } from '#shared/usage.ts'
import type { EventLog } from '../events/event-log.js'

/** What an agent has brought forth so far; it grows while the agent runs, and holds whatever ends it. */
export class Progress {
  model: string | null = null
  finishReason: string | null = null
  usage: Usage = NO_USAGE
  /** Whether anything at all came of the run, be it text that a retry has taken back. */
  hasOutput = false
  readonly bill = new Bill()

  /** @param log holds what the run has said: a text that takes minutes to come is kept once. */
  constructor (private readonly log: Pick<EventLog, 'textAfter'>, private readonly runId: string) {}

  get response (): string { return this.textAfter() }

  /** The text after an event; all of it unless told otherwise. */
  textAfter (after?: number): string { return this.log.textAfter(this.runId, after) }

  /** Notes what a try of a model used, and with it what that costs. */
  countUsage (usage: Usage, rate: Rate, isOutput: boolean): void {
    this.usage = addUsage(this.usage, usage)
    if (!isOutput) return
    this.hasOutput = true
    this.bill.add(rate, usage)
  }
}
