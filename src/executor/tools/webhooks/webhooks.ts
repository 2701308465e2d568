import { setTimeout as delay } from 'node:timers/promises'
import { createAbortController } from '../../../lib/cancellation.js'
import { Tally } from '../../../lib/counts/tally.js'
import { isBeyondShare } from '../../../lib/share.js'
import type { Outbound } from '../outbound/outbound.js'
import { ToolError } from '../tool.js'
import { type DeliveryOutcome, describeError, RETRY_DELAYS, tryDelivery } from './delivery.js'
import { type OutgoingWebhook, requestOf } from './webhook-call.js'

/** Beyond these, users who have a tenth or more of them are refused: the failing webhooks of one agent or user do not displace those of others. */
const MAX_OUTSTANDING = 1000
const MAX_OUTSTANDING_OF_AGENT = 100
/** The size of all outstanding payloads together. */
const MAX_OUTSTANDING_BYTES = 64 * 1024 * 1024
/** The part of it that one user may have. */
const PART_OF_USER = 1 / 4

export interface WebhooksOptions {
  outbound: Pick<Outbound, 'request'>
  /** Signs webhooks without a secret of their own. */
  secret?: string
  /** Writes a line to the service's log. It never contains a payload, a path or a header. */
  log (message: string, fields: Record<string, unknown>): void
  /** Waits for some milliseconds; rejects once the signal is aborted. */
  wait? (ms: number, signal: AbortSignal): Promise<unknown>
  maxOutstanding?: number
  maxOutstandingOfAgent?: number
  maxOutstandingBytes?: number
}

interface Delivery { call: OutgoingWebhook, body: string, bytes: number, ended: Promise<void> }

/** Delivers webhooks in the background, by Standard Webhooks 1.0. Webhooks that are outstanding when the process ends are lost, and logged. */
export class Webhooks {
  /** How many have arrived, and how many have not and never will. */
  readonly ended = new Tally<'result'>()
  #outstanding = new Set<Delivery>()
  #bytes = 0
  #waiting = createAbortController()
  #sending = createAbortController()

  constructor (private readonly options: WebhooksOptions) {}

  /**
   * Starts to deliver a webhook, with retries. Does not wait for the delivery, and never throws.
   * @param response the agent's answer; null if there is none.
   * @returns whether the delivery was started.
   */
  send (call: OutgoingWebhook, response: string | null): boolean {
    if (response === null && call.needsAnswer) return false
    const reason = this.#refusalReason(call)
    if (reason) {
      this.#lose(call, reason)
      return false
    }
    try {
      const body = call.body(response ?? '')
      const bytes = Buffer.byteLength(body)
      if (this.#isTooMuch(bytes, call.userId)) throw new ToolError('too much is outstanding')
      this.#start({ call, body, bytes, ended: Promise.resolve() })
      return true
    } catch (error) {
      this.#lose(call, describeError(error))
      return false
    }
  }

  /** Refuses more webhooks and cancels all retries. Requests under way have `ms` milliseconds to complete. */
  async close (ms: number): Promise<void> {
    this.#waiting.abort()
    const finished = new AbortController()
    const all = Promise.all([...this.#outstanding].map(({ ended }) => ended))
    await Promise.race([all, delay(ms, undefined, { signal: finished.signal }).catch(() => {})])
    finished.abort()
    this.#sending.abort()
    await all
  }

  #start (delivery: Delivery): void {
    this.#outstanding.add(delivery)
    this.#bytes += delivery.bytes
    delivery.ended = this.#deliver(delivery).finally(() => {
      this.#outstanding.delete(delivery)
      this.#bytes -= delivery.bytes
    })
  }

  #refusalReason ({ agentId, userId }: OutgoingWebhook): string | undefined {
    const { maxOutstanding = MAX_OUTSTANDING, maxOutstandingOfAgent = MAX_OUTSTANDING_OF_AGENT } = this.options
    if (this.#waiting.signal.aborted) return 'shutting down'
    const ofUser = this.#outstandingOf(userId)
    if (isBeyondShare(maxOutstanding, this.#outstanding.size + 1, ofUser.length + 1)) return 'too many are outstanding'
    const isOfAgent = ({ call }: Delivery): boolean => call.agentId === agentId
    const ofAgent = [...this.#outstanding].filter(isOfAgent).length
    const isRefused = isBeyondShare(maxOutstandingOfAgent, ofAgent + 1, ofUser.filter(isOfAgent).length + 1)
    return isRefused ? 'too many of this agent are outstanding' : undefined
  }

  #isTooMuch (bytes: number, userId: string): boolean {
    const max = this.options.maxOutstandingBytes ?? MAX_OUTSTANDING_BYTES
    const ofUser = this.#outstandingOf(userId).reduce((sum, delivery) => sum + delivery.bytes, bytes)
    return ofUser > max * PART_OF_USER || isBeyondShare(max, this.#bytes + bytes, ofUser)
  }

  #outstandingOf (userId: string): Delivery[] {
    return [...this.#outstanding].filter(({ call }) => call.userId === userId)
  }

  async #deliver (delivery: Delivery): Promise<void> {
    let reason = 'shutting down'
    let pause = 0
    for (const [index, scheduled] of RETRY_DELAYS.entries()) {
      if (!await this.#pause(Math.max(scheduled, pause))) break
      const result = await this.#try(delivery)
      if (result.delivered) {
        this.ended.add({ result: 'delivered' })
        return this.#log('webhook delivered', delivery.call, { tries: index + 1 })
      }
      reason = result.reason
      pause = result.pause ?? 0
      if (result.isFinal) break
    }
    this.#lose(delivery.call, reason)
  }

  /** @returns false if the process is shutting down. */
  async #pause (ms: number): Promise<boolean> {
    const { wait = (ms, signal) => delay(ms, undefined, { signal }) } = this.options
    if (ms === 0) return true
    try {
      await wait(ms, this.#waiting.signal)
      return !this.#waiting.signal.aborted
    } catch {
      return false
    }
  }

  #try ({ call, body }: Delivery): Promise<DeliveryOutcome> {
    const { outbound, secret } = this.options
    return tryDelivery(outbound, () => requestOf(call, body, secret), this.#sending.signal)
  }

  #lose (call: OutgoingWebhook, reason: string): void {
    this.ended.add({ result: 'failed' })
    this.#log('webhook not delivered', call, { reason })
  }

  /** How many are under way, or wait for their next try. */
  get outstanding (): number { return this.#outstanding.size }

  #log (message: string, { id, url, agentId }: OutgoingWebhook, fields: Record<string, unknown>): void {
    this.options.log(message, { webhookId: id, agentId, host: new URL(url.trim()).host, ...fields })
  }
}
