import { setTimeout as delay } from 'node:timers/promises'
import type { Outbound } from '../outbound/outbound.js'
import { ToolError } from '../tool.js'
import { type Outcome, PAUSES, tryDelivery, wordsOf } from './delivery.js'
import { requestOf, type WebhookCall } from './webhook-call.js'

const MAX_OUTSTANDING = 1000
/** So that the webhooks of one agent, none of which arrives, do not take the place of all others'. */
const MAX_OUTSTANDING_OF_AGENT = 100
/** Of all payloads that wait, together. */
const MAX_OUTSTANDING_BYTES = 64 * 1024 * 1024

export interface WebhooksOptions {
  outbound: Pick<Outbound, 'request'>
  /** Signs what has no secret of its own. */
  secret?: string
  /** Tells the operators; never a payload, a path or a header. */
  log (message: string, fields: Record<string, unknown>): void
  /** Waits so many milliseconds; rejects when the signal is aborted. */
  wait? (ms: number, signal: AbortSignal): Promise<unknown>
  maxOutstanding?: number
  maxOutstandingOfAgent?: number
  maxOutstandingBytes?: number
}

interface Delivery { call: WebhookCall, body: string, bytes: number, ended: Promise<void> }

/** Delivers webhooks beside the runs, by Standard Webhooks 1.0. What is outstanding when the process ends is lost, and logged. */
export class Webhooks {
  #outstanding = new Set<Delivery>()
  #bytes = 0
  #waiting = new AbortController()
  #sending = new AbortController()

  constructor (private readonly options: WebhooksOptions) {}

  /**
   * Sends a webhook, and again where it does not arrive.
   * @param response the agent's answer; null: there is none.
   * @returns whether it is on its way; never rejects, and does not wait for the delivery.
   */
  send (call: WebhookCall, response: string | null): boolean {
    if (response === null && call.needsAnswer) return false
    const reason = this.#reasonAgainst(call)
    if (reason) {
      this.#tell('webhook not delivered', call, { reason })
      return false
    }
    try {
      const body = call.body(response ?? '')
      const bytes = Buffer.byteLength(body)
      if (this.#bytes + bytes > (this.options.maxOutstandingBytes ?? MAX_OUTSTANDING_BYTES)) throw new ToolError('too much is outstanding')
      this.#start({ call, body, bytes, ended: Promise.resolve() })
      return true
    } catch (error) {
      this.#tell('webhook not delivered', call, { reason: wordsOf(error) })
      return false
    }
  }

  /** Takes nothing more on; what is being sent gets so many milliseconds, what waits for another try none. */
  async close (ms: number): Promise<void> {
    this.#waiting.abort()
    const enough = new AbortController()
    const all = Promise.all([...this.#outstanding].map(({ ended }) => ended))
    await Promise.race([all, delay(ms, undefined, { signal: enough.signal }).catch(() => {})])
    enough.abort()
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

  #reasonAgainst ({ agentId }: WebhookCall): string | undefined {
    const { maxOutstanding = MAX_OUTSTANDING, maxOutstandingOfAgent = MAX_OUTSTANDING_OF_AGENT } = this.options
    if (this.#waiting.signal.aborted) return 'shutting down'
    if (this.#outstanding.size >= maxOutstanding) return 'too many are outstanding'
    const ofAgent = [...this.#outstanding].filter(({ call }) => call.agentId === agentId).length
    return ofAgent >= maxOutstandingOfAgent ? 'too many of this agent are outstanding' : undefined
  }

  async #deliver (delivery: Delivery): Promise<void> {
    let reason = 'shutting down'
    let pause = 0
    for (const [index, scheduled] of PAUSES.entries()) {
      if (!await this.#pause(Math.max(scheduled, pause))) break
      const result = await this.#try(delivery)
      if (result.delivered) return this.#tell('webhook delivered', delivery.call, { tries: index + 1 })
      reason = result.reason
      pause = result.pause ?? 0
      if (result.isFinal) break
    }
    this.#tell('webhook not delivered', delivery.call, { reason })
  }

  /** False: there is no time left for that. */
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

  #try ({ call, body }: Delivery): Promise<Outcome> {
    const { outbound, secret } = this.options
    return tryDelivery(outbound, () => requestOf(call, body, secret), this.#sending.signal)
  }

  #tell (message: string, { id, url, agentId }: WebhookCall, fields: Record<string, unknown>): void {
    this.options.log(message, { webhookId: id, agentId, host: new URL(url.trim()).host, ...fields })
  }
}
