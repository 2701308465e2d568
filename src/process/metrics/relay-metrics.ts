import cluster, { type Worker } from 'node:cluster'
import type { MetricValues } from '../../metrics/metric.js'
import { isMetricsMessage, type MetricsMessage } from './messages.js'

/** How long a process may take to answer: one that is busy for longer counts as it was the last time. */
const PATIENCE_MS = 1_000

/** One that is ending hears nothing any more; it is waited for no longer than for any other. */
function tell (worker: Worker, message: MetricsMessage): void {
  worker.send(message, () => {})
}

/** In the first of several processes: passes on what each of them has counted to the one that is scraped. */
export function relayMetrics (): void {
  const relay = new MetricsRelay()
  cluster.on('message', (worker, message) => { if (isMetricsMessage(message)) relay.take(worker, message) })
  cluster.on('exit', worker => relay.forget(worker.id))
}

/**
 * Knows what processes said last. What one has counted that is gone still counts: a sum that falls would be taken for a process that
 * began anew, and all of it for new.
 */
class MetricsRelay {
  readonly #last = new Map<number, MetricValues[]>()
  #ended: MetricValues[] = []
  #joining: Promise<void> = Promise.resolve()
  #gathering: Promise<MetricValues[][]> | undefined
  #question = 0
  #onValues: (id: number) => void = () => {}

  take (worker: Worker, message: MetricsMessage): void {
    if (message.metrics === 'gather') this.#answer(worker, message.scrape)
    if (message.metrics !== 'values') return
    this.#last.set(worker.id, message.values)
    if (message.question === this.#question) this.#onValues(worker.id)
  }

  /** A process is gone. */
  forget (id: number): void {
    const values = this.#last.get(id)
    this.#last.delete(id)
    this.#onValues(id)
    if (values) this.#joining = this.#joining.then(() => this.#keep(values)).catch(() => {})
  }

  async #keep (values: MetricValues[]): Promise<void> {
    const { joinEnded } = await import('../../metrics/join.js')
    this.#ended = await joinEnded([this.#ended, values])
  }

  async #answer (worker: Worker, scrape: number): Promise<void> {
    this.#gathering ??= this.#gather().finally(() => { this.#gathering = undefined })
    const processes = await this.#gathering
    if (worker.isConnected()) tell(worker, { metrics: 'gathered', scrape, processes })
  }

  /** Asks all processes, and waits for their answers as long as one may take. */
  async #gather (): Promise<MetricValues[][]> {
    const question = ++this.#question
    const asked = Object.values(cluster.workers ?? {}).filter(worker => worker?.isConnected()) as Worker[]
    const missing = new Set(asked.map(({ id }) => id))
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, PATIENCE_MS)
      this.#onValues = id => {
        missing.delete(id)
        if (missing.size > 0) return
        clearTimeout(timer)
        resolve()
      }
      for (const worker of asked) tell(worker, { metrics: 'read', question })
    })
    await this.#joining
    return [...this.#last.values(), this.#ended]
  }
}
