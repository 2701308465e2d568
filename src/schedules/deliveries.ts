import { setTimeout as delay } from 'node:timers/promises'
import type { ClaimedDelivery, OutputResult } from '../database/functions/schedules.js'
import type { Database } from '../database/port.js'
import type { Outbound, OutboundRequest } from '../executor/tools/outbound/outbound.js'
import { type DeliveryOutcome, describeError, RETRY_DELAYS, tryDelivery } from '../executor/tools/webhooks/delivery.js'
import { createAbortController } from '../lib/cancellation.js'
import { Tally } from '../lib/counts/tally.js'
import { isSent, makeOutputRequest } from './output.js'
import { fillPrompt } from './schedule.js'
import { ScheduleFault } from './timing.js'

export interface DeliveriesOptions {
  database: Pick<Database, 'call'>
  outbound: Pick<Outbound, 'request'>
  /** Signs webhooks that have no secret of their own. */
  secret?: string
  /** Logs for the operators; never a payload, a path or a header. */
  log (message: string, fields: Record<string, unknown>): void
}

/** How long a claim lasts: longer than any request takes. Then another process may send the result. */
const LEASE_SECONDS = 60
const MAX_SENDING = 20
/** How many of these may be one user's, whose receivers may all be slow. */
const MAX_SENDING_OF_USER = 5

/**
 * Sends the results of schedules, at least once and with the same id each time. Results wait in the database, so that
 * another process sends what this one does not.
 */
export class Deliveries {
  /** How many results have arrived, and how many have not and never will. */
  readonly ended = new Tally<'result'>()
  #sending = new Map<Promise<void>, string>()
  #closing = createAbortController()

  constructor (private readonly options: DeliveriesOptions) {}

  /** Whether results are being sent, some of which may have to be sent again soon. */
  get isBusy (): boolean { return this.#sending.size > 0 }

  /** Begins to send the results that are due, MAX_SENDING at a time, those of each user in turn. */
  async look (): Promise<void> {
    const room = MAX_SENDING - this.#sending.size
    if (room <= 0 || this.#closing.signal.aborted) return
    const claimed = await this.options.database.call('claim_deliveries', {
      p_lease_seconds: LEASE_SECONDS, p_limit: room, p_sending: this.#countByUser(), p_per_user: MAX_SENDING_OF_USER
    })
    for (const output of claimed) {
      // A delivery that could not be recorded is repeated when its claim expires.
      const sending = this.#send(output).catch(err => this.options.log('delivery not recorded', { firingId: output.id, err }))
      this.#sending.set(sending, output.userId)
      sending.finally(() => this.#sending.delete(sending))
    }
  }

  /** Waits `ms` milliseconds for deliveries under way, then cuts them off; another process repeats them. */
  async close (ms: number): Promise<void> {
    await Promise.race([Promise.all(this.#sending.keys()), delay(ms, undefined, { ref: false })])
    this.#closing.abort()
    await Promise.all(this.#sending.keys())
  }

  #countByUser (): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const userId of this.#sending.values()) counts[userId] = (counts[userId] ?? 0) + 1
    return counts
  }

  async #send (claimed: ClaimedDelivery): Promise<void> {
    const { id, scheduleId, tries } = claimed
    // The user has changed the output action meanwhile.
    if (!isSent(claimed)) return this.#record(claimed, { status: null })
    const outcome = await this.#try(claimed)
    const isCutOff = this.#closing.signal.aborted && !outcome.delivered
    if (isCutOff) return this.#record(claimed, { status: 'pending' })
    const fields = { scheduleId, firingId: id, tries }
    const result = toResult(outcome)
    if (outcome.delivered) {
      await this.#record(claimed, { status: 'delivered', result })
      this.ended.add({ result: 'delivered' })
      return this.options.log('schedule\'s result delivered', fields)
    }
    const { reason, isFinal, pause = 0 } = outcome
    if (!isFinal && tries < RETRY_DELAYS.length) {
      return this.#record(claimed, { status: 'pending', result, seconds: Math.max(RETRY_DELAYS[tries]!, pause) / 1000 })
    }
    await this.#record(claimed, { status: 'failed', result, error: `The result could not be delivered: ${reason}` })
    this.ended.add({ result: 'failed' })
    this.options.log('schedule\'s result not delivered', { ...fields, reason })
  }

  async #try (claimed: ClaimedDelivery): Promise<DeliveryOutcome> {
    let request: OutboundRequest
    try {
      const at = new Date(claimed.scheduledFor)
      const content = fillPrompt({ ...claimed, id: claimed.scheduleId }, at)
      request = { ...makeOutputRequest({ ...claimed, content }, this.options.secret), owner: { userId: claimed.userId } }
    } catch (error) {
      return { delivered: false, reason: error instanceof ScheduleFault ? error.message : describeError(error), isFinal: true }
    }
    return tryDelivery(this.options.outbound, () => request, this.#closing.signal)
  }

  async #record ({ id, tries }: ClaimedDelivery, { status, result = null, error = null, seconds = 0 }: Recorded): Promise<void> {
    await this.options.database.call('record_delivery', {
      p_id: id, p_tries: tries, p_status: status, p_error: error, p_seconds: seconds, p_result: result
    })
  }
}

/** The state of a delivery after a try; `seconds` is the pause before the next. */
interface Recorded { status: string | null, result?: OutputResult | null, error?: string | null, seconds?: number }

function toResult (outcome: DeliveryOutcome): OutputResult {
  const { delivered: success, status } = outcome
  return status !== undefined ? { success, status } : { success: false, error: outcome.delivered ? '' : outcome.reason }
}
